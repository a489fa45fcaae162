package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// order is in which members of an object are shown: what names it, what it is,
// then the others by name, and last where the log stands.
var (
	orderFirst = []string{"version", "router", "a", "b", "name", "address", "destination", "description", "declared", "dataplane", "next_hops"}
	orderLast  = []string{"changed", "source", "revision"}
)

// members prints an object, a member a line, lists of objects a row each.
func members(t *table, body any) {
	object, _ := body.(map[string]any)
	for _, k := range ordered(object) {
		label := strings.ReplaceAll(k, "_", " ")
		rows, _ := object[k].([]any)
		if len(rows) == 0 || !structured(rows) {
			t.row(label, object[k])
			continue
		}
		for _, row := range rows {
			t.row(label, row)
		}
	}
}

// structured says that a list's elements are objects.
func structured(rows []any) bool {
	_, ok := rows[0].(map[string]any)
	return ok
}

func ordered(object map[string]any) []string {
	rank := func(k string) int {
		if i := slices.Index(orderFirst, k); i >= 0 {
			return i - len(orderFirst)
		}
		return slices.Index(orderLast, k) + 1
	}
	keys := sortedKeys(object)
	slices.SortStableFunc(keys, func(a, b string) int { return rank(a) - rank(b) })
	return keys
}

// grouped writes a JSON number with its thousands apart.
func grouped(v any) string {
	digits := text(v)
	if _, err := strconv.ParseUint(digits, 10, 64); err != nil {
		return digits
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// thousands is grouped of an integer.
func thousands(n int64) string { return grouped(json.Number(strconv.FormatInt(n, 10))) }

// size writes a JSON number of bytes in the unit that suits it.
func size(v any) string {
	n, ok := v.(json.Number)
	f, err := n.Float64()
	if !ok || err != nil {
		return text(v)
	}
	unit := "B"
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, larger
	}
	if unit == "B" || f == float64(int64(f)) {
		return fmt.Sprintf("%.0f %s", f, unit)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// plural is "1 link", "2 links".
func plural(v any, noun string) string {
	if text(v) == "1" {
		return "1 " + noun
	}
	return grouped(v) + " " + noun + "s"
}
