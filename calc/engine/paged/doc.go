// Package paged holds what engines that take one paged cache pool for each
// device have in common beside shard: how their switches and versions are read,
// and what a step and a process hold besides weights and cache. It is not an
// engine.
package paged
