package hfconfig

import "testing"

func BenchmarkParse(b *testing.B) {
	configs := catalogue(b)
	for _, id := range []string{"meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-V3"} {
		raw := []byte(configs[id].Config)
		b.Run(id, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
