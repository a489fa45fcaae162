package node

import (
	"slices"
	"testing"

	"dvr/controller/cluster"
	"dvr/controller/peer"
)

func TestRaise(t *testing.T) {
	type nodes = []cluster.Support
	for name, c := range map[string]struct {
		inForce uint32
		nodes   nodes
		to      uint32
		held    []string
	}{
		"nobody":                 {1, nil, 0, nil},
		"alone, old":             {1, nodes{{Node: "a", Level: 1}}, 0, []string{"a"}},
		"alone, new":             {1, nodes{{Node: "a", Level: 2}}, 2, nil},
		"the last is old":        {1, nodes{{Node: "a", Level: 2}, {Node: "b", Level: 2}, {Node: "c", Level: 1}}, 0, []string{"c"}},
		"one is not known":       {1, nodes{{Node: "a", Level: 2}, {Node: "b"}, {Node: "c", Level: 2}}, 0, []string{"b"}},
		"an observer is old":     {1, nodes{{Node: "a", Level: 2}, {Node: "o", Level: 1, Observer: true}}, 0, []string{"o"}},
		"an observer unknown":    {1, nodes{{Node: "a", Level: 2}, {Node: "o", Observer: true}}, 0, []string{"o"}},
		"all new":                {1, nodes{{Node: "a", Level: 2}, {Node: "b", Level: 2}, {Node: "o", Level: 2, Observer: true}}, 2, nil},
		"all much newer":         {1, nodes{{Node: "a", Level: 5}, {Node: "b", Level: 4}}, 2, nil},
		"raised already":         {2, nodes{{Node: "a", Level: 2}, {Node: "b", Level: 2}}, 0, []string{"a", "b"}},
		"a node below":           {3, nodes{{Node: "a", Level: 4}, {Node: "b", Level: 2}}, 0, []string{"b"}},
		"from a later level":     {2, nodes{{Node: "a", Level: 3}, {Node: "b", Level: 3}}, 3, nil},
		"several hold, in order": {1, nodes{{Node: "a", Level: 1}, {Node: "b", Level: 2}, {Node: "c"}}, 0, []string{"a", "c"}},
	} {
		to, held := raise(c.inForce, c.nodes)
		var names []string
		for _, h := range held {
			names = append(names, h.Node)
		}
		if to != c.to || !slices.Equal(names, c.held) {
			t.Errorf("%s: to %d, held by %v; want %d, %v", name, to, names, c.to, c.held)
		}
	}
}

func TestSupported(t *testing.T) {
	type nodes = []cluster.Support
	for name, c := range map[string]struct {
		registered    nodes
		present, gone []peer.Node
		want          nodes
	}{
		"a member that is offline counts as registered": {
			nodes{{Node: "a", Level: 2}, {Node: "b", Level: 1}}, []peer.Node{{ID: "a", Level: 2}}, []peer.Node{{ID: "b", Level: 2}},
			nodes{{Node: "a", Level: 2}, {Node: "b", Level: 1}},
		},
		"a member counts as the lower of the two": {
			nodes{{Node: "a", Level: 2}, {Node: "b", Level: 1}, {Node: "c", Level: 2}}, []peer.Node{{ID: "a", Level: 1}, {ID: "b", Level: 2}, {ID: "c"}}, nil,
			nodes{{Node: "a", Level: 1}, {Node: "b", Level: 1}, {Node: "c"}},
		},
		"an observer counts as it says itself": {
			nodes{{Node: "o", Observer: true, Level: 1}, {Node: "p", Observer: true, Level: 1}}, []peer.Node{{ID: "o", Level: 2}}, []peer.Node{{ID: "p", Level: 2}},
			nodes{{Node: "o", Observer: true, Level: 2}, {Node: "p", Observer: true, Level: 1}},
		},
		"who is only in the directory is no member": {
			nodes{{Node: "a", Level: 2}}, []peer.Node{{ID: "x", Level: 1}}, nil,
			nodes{{Node: "a", Level: 2}},
		},
		"on an external etcd those that went count": {
			nil, []peer.Node{{ID: "a", Level: 2}}, []peer.Node{{ID: "b", Level: 1}},
			nodes{{Node: "a", Level: 2}, {Node: "b", Level: 1}},
		},
		"an empty list of members is none": {nodes{}, []peer.Node{{ID: "a", Level: 2}}, nil, nodes{}},
	} {
		before := slices.Clone(c.registered)
		if got := supported(c.registered, c.present, c.gone); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if !slices.Equal(before, c.registered) {
			t.Errorf("%s: what was registered was changed", name)
		}
	}
}
