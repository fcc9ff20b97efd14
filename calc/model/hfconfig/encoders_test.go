package hfconfig

import (
	"strings"
	"testing"
)

// TestPublishedEncoders holds models that are no decoders against published counts:
// num_parameters of the transformers class named by architectures, as model
// cards, benchmark registries (MTEB), Keras presets and torchaudio print them.
func TestPublishedEncoders(t *testing.T) {
	labels := `{` + strings.TrimSuffix(strings.Repeat(`"#":"x",`, 1000), ",") + `}`
	for i := range 1000 {
		labels = strings.Replace(labels, "#", strings.Repeat("i", i+1), 1)
	}
	for _, c := range []struct {
		name, config string
		total        int64
		encDec       bool
	}{
		{"distilbert-base-uncased", `{"model_type":"distilbert","dim":768,"hidden_dim":3072,"n_heads":12,"n_layers":6,"vocab_size":30522,"max_position_embeddings":512}`, 66_362_880, false},
		{"deberta-v3-base", `{"model_type":"deberta-v2","hidden_size":768,"intermediate_size":3072,"num_attention_heads":12,"num_hidden_layers":12,"vocab_size":128100,"max_position_embeddings":512,"relative_attention":true,"position_buckets":256,"norm_rel_ebd":"layer_norm","share_att_key":true,"pos_att_type":"p2c|c2p","position_biased_input":false,"type_vocab_size":0,"max_relative_positions":-1}`, 183_831_552, false},
		{"deberta-v3-large", `{"model_type":"deberta-v2","hidden_size":1024,"intermediate_size":4096,"num_attention_heads":16,"num_hidden_layers":24,"vocab_size":128100,"max_position_embeddings":512,"relative_attention":true,"position_buckets":256,"norm_rel_ebd":"layer_norm","share_att_key":true,"pos_att_type":"p2c|c2p","position_biased_input":false,"type_vocab_size":0,"max_relative_positions":-1}`, 434_012_160, false},
		{"albert-base-v2", `{"model_type":"albert","embedding_size":128,"hidden_size":768,"intermediate_size":3072,"num_attention_heads":12,"num_hidden_layers":12,"num_hidden_groups":1,"inner_group_num":1,"vocab_size":30000,"max_position_embeddings":512,"type_vocab_size":2}`, 11_683_584, false},
		{"modernbert-base", `{"model_type":"modernbert","hidden_size":768,"intermediate_size":1152,"num_attention_heads":12,"num_hidden_layers":22,"vocab_size":50368,"max_position_embeddings":8192,"global_attn_every_n_layers":3,"local_attention":128}`, 149_014_272, false},
		{"bge-m3", `{"model_type":"xlm-roberta","hidden_size":1024,"intermediate_size":4096,"num_attention_heads":16,"num_hidden_layers":24,"vocab_size":250002,"max_position_embeddings":8194,"type_vocab_size":1}`, 567_754_752, false},
		{"xlm-roberta-base", `{"model_type":"xlm-roberta","hidden_size":768,"intermediate_size":3072,"num_attention_heads":12,"num_hidden_layers":12,"vocab_size":250002,"max_position_embeddings":514,"type_vocab_size":1}`, 278_043_648, false},
		{"clip-vit-large-patch14", `{"model_type":"clip","architectures":["CLIPModel"],"projection_dim":768,"text_config":{"model_type":"clip_text_model","hidden_size":768,"intermediate_size":3072,"num_attention_heads":12,"num_hidden_layers":12,"vocab_size":49408,"max_position_embeddings":77},"vision_config":{"model_type":"clip_vision_model","hidden_size":1024,"intermediate_size":4096,"num_attention_heads":16,"num_hidden_layers":24,"image_size":224,"patch_size":14}}`, 427_616_513, false},
		{"clip-vit-base-patch32", `{"model_type":"clip","projection_dim":512,"text_config":{"model_type":"clip_text_model","hidden_size":512,"intermediate_size":2048,"num_attention_heads":8,"num_hidden_layers":12,"vocab_size":49408},"vision_config":{"model_type":"clip_vision_model","hidden_size":768,"patch_size":32}}`, 151_277_313, false},
		{"siglip-base-patch16-224", `{"model_type":"siglip","text_config":{"model_type":"siglip_text_model"},"vision_config":{"model_type":"siglip_vision_model","patch_size":16,"image_size":224}}`, 203_155_970, false},
		{"siglip-so400m-patch14-224", `{"model_type":"siglip","text_config":{"model_type":"siglip_text_model","hidden_size":1152,"intermediate_size":4304,"num_attention_heads":16,"num_hidden_layers":27,"max_position_embeddings":16},"vision_config":{"model_type":"siglip_vision_model","hidden_size":1152,"intermediate_size":4304,"num_attention_heads":16,"num_hidden_layers":27,"image_size":224,"patch_size":14}}`, 877_360_306, false},
		{"vit-base-patch16-224", `{"model_type":"vit","architectures":["ViTForImageClassification"],"hidden_size":768,"intermediate_size":3072,"num_attention_heads":12,"num_hidden_layers":12,"image_size":224,"patch_size":16,"id2label":` + labels + `}`, 86_567_656, false},
		{"vit-base-patch16-224-in21k", `{"model_type":"vit","architectures":["ViTModel"],"hidden_size":768,"intermediate_size":3072,"num_attention_heads":12,"num_hidden_layers":12,"image_size":224,"patch_size":16}`, 86_389_248, false},
		{"dinov2-base", `{"model_type":"dinov2","architectures":["Dinov2Model"],"hidden_size":768,"mlp_ratio":4,"num_attention_heads":12,"num_hidden_layers":12,"image_size":518,"patch_size":14}`, 86_580_480, false},
		{"wav2vec2-base", `{"model_type":"wav2vec2","architectures":["Wav2Vec2Model"]}`, 94_371_712, false},
		{"wav2vec2-base-960h", `{"model_type":"wav2vec2","architectures":["Wav2Vec2ForCTC"],"vocab_size":32}`, 94_396_320, false},
		{"wav2vec2-xls-r-300m", `{"model_type":"wav2vec2","hidden_size":1024,"intermediate_size":4096,"num_attention_heads":16,"num_hidden_layers":24,"conv_bias":true,"feat_extract_norm":"layer","do_stable_layer_norm":true,"mask_time_prob":0.075}`, 315_438_720, false},
		{"hubert-base-ls960", `{"model_type":"hubert"}`, 94_371_712, false},
		{"nllb-200-distilled-600M", `{"model_type":"m2m_100","d_model":1024,"encoder_layers":12,"decoder_layers":12,"encoder_attention_heads":16,"decoder_attention_heads":16,"encoder_ffn_dim":4096,"decoder_ffn_dim":4096,"vocab_size":256206,"max_position_embeddings":1024}`, 615_073_792, true},
		{"nllb-200-3.3B", `{"model_type":"m2m_100","d_model":2048,"encoder_layers":24,"decoder_layers":24,"encoder_attention_heads":16,"decoder_attention_heads":16,"encoder_ffn_dim":8192,"decoder_ffn_dim":8192,"vocab_size":256206,"max_position_embeddings":1024}`, 3_344_863_232, true},
		{"opus-mt-en-de", `{"model_type":"marian","d_model":512,"encoder_layers":6,"decoder_layers":6,"encoder_attention_heads":8,"decoder_attention_heads":8,"encoder_ffn_dim":2048,"decoder_ffn_dim":2048,"vocab_size":58101,"max_position_embeddings":512}`, 74_410_496, true},
		{"bart-large", `{"model_type":"bart","d_model":1024,"encoder_layers":12,"decoder_layers":12,"encoder_attention_heads":16,"decoder_attention_heads":16,"encoder_ffn_dim":4096,"decoder_ffn_dim":4096,"vocab_size":50265,"max_position_embeddings":1024}`, 406_291_456, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, c.config)
			if got := m.Count().Total; got != c.total {
				t.Errorf("%d parameters, published are %d", got, c.total)
			}
			if m.EncDec != c.encDec || len(m.Layers) == 0 || !c.encDec && m.Causal {
				t.Errorf("encoder-decoder %v, causal %v, %d layers", m.EncDec, m.Causal, len(m.Layers))
			}
		})
	}
}
