package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"dvr/cmd/internal/client"
)

// overall is what dvr top shows. It is no more than what was told: the streams'
// messages, and the status now and then.
type overall struct {
	nodes  map[string]nodeTold
	planes map[string]planeTold
	recent []commitTold // newest last, at most keptCommits
	status statusTold
	frozen []string // names of the freezes in force

	// What was told by an earlier stream and is not yet by the present one: it may
	// have gone meanwhile, of which no stream tells. By kind of message and name.
	unsaid map[string]map[string]bool
	lost   time.Time // no stream is open since; zero: one is, and has told all

	revision uint64
	start    time.Time // of the watch
	begun    uint64    // commits up to it are from before
	seconds  []second  // commits a second, oldest first, at most rateSpan
}

type nodeTold struct {
	Node   string `json:"node_id"`
	Role   string `json:"role"`
	Leader bool   `json:"leader"`
	Online bool   `json:"online"`
	API    string `json:"api"`
	State  string `json:"state"` // with an external etcd
	Alarms []struct {
		Name string `json:"alarm"`
	} `json:"alarms"`
	Gone bool `json:"gone"`
}

type planeTold struct {
	Router    string   `json:"router"`
	Node      string   `json:"node"`
	Sinks     []string `json:"sinks"`
	Connected bool     `json:"connected"`
	Equal     bool     `json:"digest_equal"`
	Deviates  bool     `json:"deviates"`
	Failed    uint64   `json:"failed"`
	Position  struct {
		Revision uint64 `json:"revision"`
	} `json:"position"`
	Gone bool `json:"gone"`
}

type commitTold struct {
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason"`
	N        uint64    `json:"n"`
}

type statusTold struct {
	Node     string `json:"node_id"`
	Quorum   bool   `json:"quorum"`
	Leader   string `json:"leader"`
	Fault    string `json:"fault"`
	Revision uint64 `json:"revision"`
	State    struct {
		Destinations4 uint64 `json:"destinations4"`
		Destinations6 uint64 `json:"destinations6"`
		Routes        uint64 `json:"routes"`
		Routers       uint64 `json:"routers"`
		Links         uint64 `json:"links"`
		Keys          uint64 `json:"keys"`
	} `json:"state"`
	Store struct {
		Bytes json.Number `json:"bytes"`
		Quota json.Number `json:"quota"`
	} `json:"store"`
}

// second counts the commits that came in one.
type second struct {
	at      int64 // Unix
	commits int
}

// Bounds of what is kept.
const (
	keptCommits = 200
	rateSpan    = 60
)

func newOverall() *overall {
	return &overall{nodes: map[string]nodeTold{}, planes: map[string]planeTold{}}
}

// opened and broken are the kinds of messages that the stream itself makes: it
// has been opened, also anew, and has broken.
const opened, broken = "opened", "broken"

// reopen marks all that was told as not told yet.
func (o *overall) reopen() {
	o.unsaid = map[string]map[string]bool{"nodes": {}, "dataplanes": {}}
	for name := range o.nodes {
		o.unsaid["nodes"][name] = true
	}
	for name := range o.planes {
		o.unsaid["dataplanes"][name] = true
	}
}

// said forgets, of a kind that the stream has told all of, what it did not tell.
// When all kinds are told the picture is current.
func (o *overall) said(kind string) {
	for name := range o.unsaid[kind] {
		if kind == "nodes" {
			delete(o.nodes, name)
		} else {
			delete(o.planes, name)
		}
	}
	delete(o.unsaid, kind)
	if len(o.unsaid) == 0 {
		o.lost = time.Time{}
	}
}

// tell takes a message of the watch in.
func (o *overall) tell(e client.Event, now time.Time) error {
	switch e.Kind {
	case opened:
		o.reopen()
	case broken:
		if o.lost.IsZero() {
			o.lost = now
		}
	case "told":
		var of struct {
			Kind string `json:"kind"`
		}
		if err := json.Unmarshal(e.Data, &of); err != nil {
			return err
		}
		o.said(of.Kind)
	case "commits":
		var c commitTold
		if err := json.Unmarshal(e.Data, &c); err != nil {
			return err
		}
		o.revision = max(o.revision, c.Revision)
		if n := len(o.recent); n > 0 && o.recent[n-1].Revision == c.Revision {
			return nil // told again by the next stream
		}
		if o.recent = append(o.recent, c); len(o.recent) > keptCommits {
			o.recent = slices.Delete(o.recent, 0, len(o.recent)-keptCommits)
		}
		if c.Revision > o.begun {
			o.count(now)
		}
	case "nodes":
		var n nodeTold
		if err := json.Unmarshal(e.Data, &n); err != nil {
			return err
		}
		delete(o.unsaid["nodes"], n.Node)
		put(o.nodes, n.Node, n, n.Gone)
	case "dataplanes":
		var p planeTold
		if err := json.Unmarshal(e.Data, &p); err != nil {
			return err
		}
		delete(o.unsaid["dataplanes"], p.Router)
		put(o.planes, p.Router, p, p.Gone)
	}
	return nil
}

func put[T any](m map[string]T, name string, v T, gone bool) {
	if gone {
		delete(m, name)
	} else {
		m[name] = v
	}
}

// count puts a commit into the second that it came in.
func (o *overall) count(now time.Time) {
	at := now.Unix()
	if n := len(o.seconds); n > 0 && o.seconds[n-1].at == at {
		o.seconds[n-1].commits++
		return
	}
	if o.seconds = append(o.seconds, second{at, 1}); len(o.seconds) > rateSpan {
		o.seconds = slices.Delete(o.seconds, 0, len(o.seconds)-rateSpan)
	}
}

// rates are the commits of each of the last seconds, the one that runs left out.
func (o *overall) rates(now time.Time) []int {
	out := make([]int, rateSpan)
	for _, s := range o.seconds {
		if back := now.Unix() - s.at; back >= 1 && back <= rateSpan {
			out[rateSpan-back] = s.commits
		}
	}
	return out
}

func (o *overall) nodeList() []nodeTold {
	return slices.SortedFunc(maps.Values(o.nodes), func(a, b nodeTold) int { return strings.Compare(a.Node, b.Node) })
}

func (o *overall) planeList() []planeTold {
	return slices.SortedFunc(maps.Values(o.planes), func(a, b planeTold) int { return strings.Compare(a.Router, b.Router) })
}

// state is a data plane's in one word, the worst first.
func (p planeTold) state(newest uint64) string {
	switch {
	case !p.Connected:
		return "disconnected"
	case p.Failed > 0:
		return "failing"
	case p.Deviates:
		return "deviates"
	case p.Position.Revision == 0:
		return "connecting" // it has acknowledged nothing yet
	case newest > p.Position.Revision+behindMost:
		return "behind"
	case !p.Equal:
		return "differs"
	}
	return "in sync"
}

// behindMost is how far a data plane's last word may be behind without a word:
// it is told once a second, and commits go on meanwhile.
const behindMost = 5000
