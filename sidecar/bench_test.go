package sidecar_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"hwledger/sidecar"
)

// BenchmarkStart compares a start under supervision with the child's own time,
// from its start to the first answer of its health.
func BenchmarkStart(b *testing.B) {
	m := manager(b, nil)
	var bare, supervised []time.Duration
	for b.Loop() {
		bare = append(bare, bareStart(b))
		began := time.Now()
		st, err := m.Launch(b.Context(), spec("serve", sidecar.Session))
		if err == nil {
			st, err = m.Wait(b.Context(), st.ID, nil)
		}
		if err != nil || st.State != sidecar.Ready {
			b.Fatalf("%v: %+v", err, st)
		}
		supervised = append(supervised, time.Since(began))
		if _, err := m.Stop(context.WithoutCancel(b.Context()), st.ID); err != nil {
			b.Fatal(err)
		}
	}
	over := median(supervised) - median(bare)
	b.ReportMetric(float64(median(bare).Microseconds())/1000, "ms-bare")
	b.ReportMetric(float64(over.Microseconds())/1000, "ms-over")
	if len(bare) > 5 && over > 30*time.Millisecond {
		b.Errorf("supervision adds %s to a start, over 30 ms", over)
	}
}

// median is what other programs on the machine disturb least.
func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// bareStart starts the child by hand, and asks for its health without a pause.
func bareStart(b *testing.B) time.Duration {
	b.Helper()
	const port = 28765
	cmd := exec.Command(os.Args[0], "--host", "127.0.0.1", "--port", strconv.Itoa(port))
	cmd.Env = append(os.Environ(), modeEnv+"=serve")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for time.Since(began) < 10*time.Second {
		resp, err := client.Get("http://127.0.0.1:" + strconv.Itoa(port) + "/health")
		if err == nil {
			resp.Body.Close()
			break
		}
	}
	took := time.Since(began)
	_ = cmd.Process.Kill() // it is not needed any more
	_ = cmd.Wait()         // it was killed
	return took
}
