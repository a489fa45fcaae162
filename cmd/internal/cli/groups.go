package cli

import (
	"encoding/json"
	"strconv"
)

// groups gathers the groups of prefixes of one router that change in the same
// way: for whoever reads, 137 classes that leave one next hop for another are one
// line. The zero value is empty. Memory: that of the lines that come out.
type groups struct {
	lines []any // objects as the API has them, in the order in which the first of each came
	by    map[string]int
}

// add takes in a group: an object with before, after, prefixes and examples.
func (g *groups) add(group any) {
	key := text(member(group, "change")) + "\x00" + hopsText(member(group, "before"), member(group, "after"))
	i, known := g.by[key]
	if !known {
		if g.by == nil {
			g.by = map[string]int{}
		}
		g.by[key] = len(g.lines)
		g.lines = append(g.lines, group)
		return
	}
	first, ok := g.lines[i].(map[string]any)
	if !ok {
		return
	}
	sum := count(first["prefixes"]) + count(member(group, "prefixes"))
	merged := map[string]any{}
	for k, v := range first {
		merged[k] = v
	}
	merged["prefixes"] = json.Number(strconv.FormatInt(sum, 10))
	g.lines[i] = merged
}
