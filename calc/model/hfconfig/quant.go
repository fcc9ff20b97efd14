package hfconfig

import "hwledger/calc/model"

// quantization reads how the checkpoint says its weights are stored.
func (c *cfg) quantization() *model.Quantization { return nil }

// kvCacheType reads the cache type the checkpoint asks for.
func (c *cfg) kvCacheType() string { return "" }
