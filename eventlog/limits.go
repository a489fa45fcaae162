package eventlog

import "fmt"

// Limits of texts and lists, in bytes and elements.
const (
	MaxName        = 63 // vrf, router, origin and the names of guards, links, …
	MaxActor       = 128
	MaxID          = 128
	MaxInterface   = 15
	MaxTag         = 63
	MaxReason      = 1024
	MaxDescription = 1024
	MaxKey         = 1024
	MaxValue       = 65536

	maxSource     = 128
	maxForced     = 64
	maxVia        = 64
	maxList       = 1024 // prefixes or routers that one guard, freeze or grant names
	maxGrants     = 64
	maxStageParts = 999999
	maxStageID    = 128
)

func tooMany(limit int) string { return fmt.Sprintf("has more than %d elements", limit) }
func tooLong(limit int) string { return fmt.Sprintf("is longer than %d bytes", limit) }
