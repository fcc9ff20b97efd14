package mlx

// growth is the step by which caches grow, in tokens.
const growth = 256

// up returns n rounded up to whole steps of growth.
func up(n int64) int64 { return (n + growth - 1) / growth * growth }

// grown returns the tokens that a growing cache has room for after a prompt,
// read in passes of step tokens until one is left, and generated more, one at
// a time. When a pass does not fit, room that is not a multiple of 256 is cut
// to what is held, and whole steps for the pass are added (mlx-lm KVCache).
func grown(prompt, generated, step int64) int64 {
	var have, held int64
	left := max(1, prompt)
	// What came long before does not matter: passes of a multiple of 256 leave
	// nothing over, and with others room is cut to what is held again and again.
	if passes := (left - 1) / step; passes > 1 && step%growth == 0 {
		held = (passes - 1) * step
		have, left = held, left-held
	} else if passes > 2048 {
		held = (passes - 1024) / growth * growth * step
		have, left = held, left-held
	}
	for left > 1 {
		n := min(step, left-1)
		if held+n > have {
			if held%growth != 0 {
				have = held
			}
			have += up(n)
		}
		held += n
		left -= n
	}
	return have + up(max(0, held+1+generated-have))
}

// rotating returns the tokens that a rotating cache of the given window has
// room for after a load, and the most it had while the prompt was read: a pass
// adds its tokens to at most window-1 older ones; the first single token cuts
// the cache to the window (mlx-lm RotatingKVCache).
func rotating(prompt, generated, step, window int64) (held, peak int64) {
	n := max(1, prompt) - 1
	after := func(passes, last int64) int64 { return min((passes-1)*step, window-1) + last }
	if n > 0 {
		passes := (n + step - 1) / step
		held = after(passes, n-(passes-1)*step)
		if peak = held; passes > 1 {
			peak = max(peak, after(passes-1, step))
		}
	}
	if held >= window {
		return window, peak
	}
	held = min(window, held+up(max(0, n+1+generated-held)))
	return held, max(peak, held)
}
