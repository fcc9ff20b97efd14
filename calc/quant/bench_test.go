package quant

import "testing"

func BenchmarkAssign(b *testing.B) {
	m := parsed(b, llama8B)
	for _, name := range []string{"bf16", "fp8", "mlx-4bit", "Q4_K_M"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s, err := For(m, name)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.Assign(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
