// Package ledger is hwLedger's memory: an append-only log of predictions,
// launches, measurements and costs in one SQLite file, durable, and such that
// a change of its past shows.
//
// Every event's hash covers its content and the hash before it, and is a leaf
// of the Merkle tree of RFC 6962 whose inner hashes are stored in the same
// row, so that an event and its place in the tree are one INSERT. Signed
// checkpoints (c2sp.org/tlog-checkpoint) pin the tree; who keeps one outside
// can tell later whether the log was cut or written anew, which no hash inside
// it can. Package proof does the checking and shares no code with the
// database.
//
// Several processes may use one file. Each appends under SQLite's write lock
// and reads the log's head inside it; Append returns when the event is on
// disk.
package ledger
