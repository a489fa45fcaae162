package robustness

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An item's content in text: "slot=value" with commas, sorted by slot; a key's
// only slot is "". Text, so that states of the model can be compared with ==.

func contentOf(slots map[string]uint64) string {
	parts := make([]string, 0, len(slots))
	for s, v := range slots {
		parts = append(parts, s+"="+strconv.FormatUint(v, 10))
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// with is content after a slot was set.
func with(content, slot string, value uint64) string {
	parts := []string{fmt.Sprintf("%s=%d", slot, value)}
	for p := range strings.SplitSeq(content, ",") {
		if s, _, ok := strings.Cut(p, "="); ok && s != slot {
			parts = append(parts, p)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// without is content after a slot was removed.
func without(content, slot string) string {
	var parts []string
	for p := range strings.SplitSeq(content, ",") {
		if s, _, ok := strings.Cut(p, "="); ok && s != slot {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ",")
}
