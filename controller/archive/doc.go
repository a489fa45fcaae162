// Package archive keeps history that the log no longer holds: files in a
// directory, written before the log is truncated or by `dvr log archive`, and a
// Log that reads them and the live one as one (docs/decisions/0023-archives.md).
// The live log is the root of trust: what does not chain to it by hashes is
// never given away. It knows neither etcd nor HTTP.
package archive
