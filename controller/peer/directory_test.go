package peer

import (
	"testing"
	"time"
)

// TestLeaderOfDirectory: the eldest that is there and not below the log's level.
func TestLeaderOfDirectory(t *testing.T) {
	gone := time.Unix(1, 0)
	for name, c := range map[string]struct {
		entries map[string]*entry
		want    string
	}{
		"none":               {nil, ""},
		"the eldest":         {map[string]*entry{"a": {created: 7}, "b": {created: 3}, "c": {created: 5}}, "b"},
		"the eldest is gone": {map[string]*entry{"a": {created: 7}, "b": {created: 3, gone: gone}, "c": {created: 5}}, "c"},
		"the eldest is old":  {map[string]*entry{"a": {created: 7}, "b": {created: 3, node: Node{Below: true}}}, "a"},
		"all are old":        {map[string]*entry{"a": {created: 7, node: Node{Below: true}}}, ""},
	} {
		for id, e := range c.entries {
			e.node.ID = id
		}
		if got, ok := (&Directory{entries: c.entries}).Leader(); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q %v, want %q", name, got, ok, c.want)
		}
	}
}
