package launcher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"
)

// observation is what a node said last.
type observation struct {
	online     bool // it answers, and is the node that it should be
	health     health
	quorum     bool
	claims     time.Time // since when it says that it leads; zero: it does not
	membership membership
	told       bool   // membership holds its answer
	problem    string // why it is not online although its process runs
}

// observe asks the node at port. It never fails: what cannot be had is said in the observation.
func (c *caller) observe(ctx context.Context, id string, port int, before observation, now time.Time) observation {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var o observation
	err := c.do(ctx, http.MethodGet, port, "/health", &o.health)
	var answer *answerError
	switch {
	case err == nil:
		o.quorum = true
	case errors.As(err, &answer) && answer.status == http.StatusServiceUnavailable && o.health.NodeID == id && o.health.Reason != "":
		return observation{problem: o.health.Reason} // it listens, and serves nothing yet
	case errors.As(err, &answer) && answer.status == http.StatusServiceUnavailable && o.health.NodeID != "":
		// without quorum it is online all the same
	case errors.As(err, &answer):
		o.health = health{}
		o.problem = fmt.Sprintf("GET /health: %d %s", answer.status, answer.detail)
		return o
	default:
		return observation{problem: "does not answer"}
	}
	if o.health.NodeID != id {
		return observation{problem: fmt.Sprintf("node %q answers at its address", o.health.NodeID)}
	}
	o.online = true
	if o.quorum && o.health.RaftState == "Leader" {
		if o.claims = before.claims; o.claims.IsZero() {
			o.claims = now
		}
	}
	if err := c.do(ctx, http.MethodGet, port, "/v1/cluster/members", &o.membership); err == nil {
		o.told = true
	} else {
		o.membership = membership{}
	}
	return o
}

func (o observation) equal(p observation) bool { return reflect.DeepEqual(o, p) }

// view is everything that is known of all nodes at one moment.
type view struct {
	configuration *Configuration
	observed      map[string]observation
	planes        map[string]string // what their data planes say of themselves
}

// leader is the node that leads: of several that say so, the one that began to
// say so last, since an old leader is slower to notice than a new one.
func (v *view) leader() string {
	var leader string
	for _, id := range v.configuration.ids() {
		if o := v.observed[id]; o.online && !o.claims.IsZero() && (leader == "" || o.claims.After(v.observed[leader].claims)) {
			leader = id
		}
	}
	return leader
}

// membership is what the best placed node says: the leader, else one with a
// quorum, else any; false where none says anything.
func (v *view) membership() (m membership, quorum, ok bool) {
	if o, found := v.observed[v.leader()]; found && o.told {
		return o.membership, true, true
	}
	for _, id := range v.configuration.ids() {
		if o := v.observed[id]; o.online && o.told && (!ok || o.quorum && !quorum) {
			m, quorum, ok = o.membership, o.quorum, true
		}
	}
	return m, quorum, ok
}

// head is the highest revision that any node has.
func (v *view) head() uint64 {
	var head uint64
	for _, o := range v.observed {
		head = max(head, o.health.Revision)
	}
	return head
}
