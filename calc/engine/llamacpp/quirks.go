package llamacpp

import "hwledger/calc/model"

// quirks is what llama.cpp's graph of an architecture does differently from
// the plain decoder layer. Sizes come from the model; this only says which
// operations there are. (src/models/<arch>.cpp)
type quirks struct {
	known bool // read from source and measured

	layerNorm  bool // LayerNorm instead of RMSNorm
	embdNorm   bool // a norm right after the embedding
	scaleEmbd  bool
	scaleByRow bool // 0.7: embeddings are scaled by an input row

	keyFirst      bool // keys are computed before values
	noRope        bool
	normAfterRope bool
	scaleQuery    bool
	attnSoftcap   bool
	finalSoftcap  bool
	scaleLogits   bool
	scaleResidual bool
	postNorms     bool // norms after attention and feed-forward as well
	parallel      bool // attention and feed-forward both read the same norm
	fusedGateUp   bool
	residualFirst int // additions name the residual first: 1 after the network, 2 after the mixer too
	extraActs     int // activations beyond one (squared ReLU)
	multiRope     bool

	weightFirst      bool // expert weights scale the input (Llama-4)
	softmaxAfterTopK bool
	plainWeights     bool // chosen experts' weights are not normalised

	repeatKeys bool // gated delta net repeats key heads
	// lateRows: before 0.7 the last layer ran on all tokens and its result was
	// kept: 1 before the final norm, 2 after it.
	lateRows int
	pickSum  bool // the last layer drops rows after the residual addition
	keepLast bool // the last layer's result is an output

	swa        bool // the architecture's windows are honoured
	swaChunk   int64
	rollback   bool // recurrent state can be rolled back: snapshots count
	diagOneSeq bool // the real reservation runs with one sequence
}

func (q *quirks) posPerToken() int64 {
	if q.multiRope {
		return 4
	}
	return 1
}

// normTopK reports whether the chosen experts' weights are normalised.
func (q *quirks) normTopK(*model.FFN) bool { return !q.plainWeights }

// architectures lists what is known by GGUF architecture name.
var architectures = map[string]quirks{
	"llama":     {known: true},
	"qwen2":     {known: true},
	"qwen3":     {known: true},
	"qwen3moe":  {known: true},
	"gemma":     {scaleEmbd: true, scaleQuery: true, keyFirst: true},
	"gemma2":    {known: true, scaleEmbd: true, scaleQuery: true, attnSoftcap: true, finalSoftcap: true, postNorms: true, keyFirst: true, swa: true},
	"gemma3":    {known: true, scaleEmbd: true, scaleByRow: true, scaleQuery: true, postNorms: true, keyFirst: true, swa: true},
	"gemma3n":   {scaleEmbd: true, postNorms: true, keyFirst: true, swa: true, finalSoftcap: true},
	"gemma4":    {scaleEmbd: true, scaleByRow: true, postNorms: true, keyFirst: true, swa: true, finalSoftcap: true, lateRows: 1},
	"gpt-oss":   {known: true, keyFirst: true, softmaxAfterTopK: true, swa: true, lateRows: 1, keepLast: true},
	"phi3":      {known: true, fusedGateUp: true, scaleQuery: true, residualFirst: 1},
	"falcon":    {known: true, layerNorm: true, parallel: true},
	"llama4":    {known: true, keyFirst: true, normAfterRope: true, weightFirst: true, plainWeights: true, swa: true, swaChunk: 8192},
	"deepseek2": {known: true},

	"mamba":         {known: true},
	"mamba2":        {known: true},
	"jamba":         {known: true, noRope: true, plainWeights: true, residualFirst: 2},
	"falcon-h1":     {known: true, pickSum: true},
	"granitehybrid": {known: true},
	"qwen3next":     {known: true, repeatKeys: true, lateRows: 2},
	"qwen35":        {rollback: true, lateRows: 2, multiRope: true},
	"qwen35moe":     {rollback: true, lateRows: 2, multiRope: true},
	"qwen4exp":      {rollback: true},
	"rwkv7":         {known: true, layerNorm: true, embdNorm: true},
	"rwkv6":         {layerNorm: true, embdNorm: true},
	"lfm2":          {known: true, swa: true, rollback: true, residualFirst: 2},
	"lfm2moe":       {swa: true, rollback: true, residualFirst: 2},
	"kimi-linear":   {known: true, noRope: true, diagOneSeq: true},
	"kimi-k3":       {rollback: true, noRope: true},
	"nemotron_h":    {noRope: true, extraActs: 1, rollback: true, lateRows: 1},
	"nemotron_h_moe": {
		noRope: true, extraActs: 1, rollback: true, lateRows: 1,
	},
	"bailingmoe3": {rollback: true, lateRows: 1},
	"minimax-01":  {diagOneSeq: true},
	"deepseek4":   {swa: true, rollback: true},

	"nemotron":     {layerNorm: true, extraActs: 1},
	"arcee":        {extraActs: 1},
	"cohere2":      {layerNorm: true, parallel: true, swa: true, scaleLogits: true},
	"cohere2moe":   {layerNorm: true, parallel: true, swa: true, scaleLogits: true, lateRows: 1},
	"command-r":    {layerNorm: true, parallel: true, scaleLogits: true},
	"exaone4":      {swa: true},
	"exaone-moe":   {swa: true},
	"olmo2":        {swa: true},
	"smallthinker": {swa: true},
	"afmoe":        {swa: true},
	"mimo2":        {swa: true},
	"step35":       {swa: true, lateRows: 1},
	"granite":      {scaleEmbd: true, scaleLogits: true, scaleResidual: true},
	"granitemoe":   {scaleEmbd: true, scaleLogits: true, scaleResidual: true},
	"gpt2":         {layerNorm: true, noRope: true},
	"starcoder":    {layerNorm: true, noRope: true},
	"starcoder2":   {layerNorm: true},
	"gptneox":      {layerNorm: true, parallel: true},
	"phi2":         {layerNorm: true, parallel: true},
	"bloom":        {layerNorm: true, noRope: true, embdNorm: true},
	"mpt":          {layerNorm: true, noRope: true},
	"stablelm":     {layerNorm: true},
	"glm4":         {postNorms: true, fusedGateUp: true},
	"dots3note":    {swa: true},
	"granite-swa":  {swa: true},
	"laguna":       {swa: true},
	"maple":        {swa: true},
	"mellum":       {swa: true},
	"plamo3":       {swa: true},
	"qwen2vl":      {multiRope: true},
	"qwen3vl":      {multiRope: true},
	"qwen3vlmoe":   {multiRope: true},
}

func quirksOf(arch string) quirks { return architectures[arch] }
