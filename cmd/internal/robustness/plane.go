package robustness

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/cmd/internal/testbed"
)

// planeRouter is the router of the campaign's data plane.
const planeRouter = "r1"

var snapshotManifests = []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithSerializable()}

// startPlane runs a data plane on the hub, which hears every node.
func (r *run) startPlane() error {
	var controllers []string
	for _, s := range r.cluster.Members() {
		controllers = append(controllers, s.Address+":9190")
	}
	p, err := testbed.NewDataPlane(r.cluster.dir, planeRouter, strings.Join(controllers, ","))
	if err != nil {
		return err
	}
	p.Wrapper = r.cluster.Network.Wrapper("hub")
	r.plane = p
	return p.Start()
}

// mostUnequal is in how many looks on end, 300 ms apart, the digests may differ: a
// data plane that has just connected has acknowledged nothing yet, and counts as
// unequal until it does.
const mostUnequal = 10

// comparePlane notes it when a data plane that has acknowledged a revision
// holds another FIB than the controller computed. It is true where it is up to date.
func (r *run) comparePlane(ctx context.Context, s *Seat) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var body struct{ Dataplanes []testbed.DataPlaneStatus }
	if _, err := s.get(ctx, "/v1/dataplanes", &body); err != nil {
		return false
	}
	for _, d := range body.Dataplanes {
		if d.Router != planeRouter || !d.Connected || d.Position.Revision == 0 {
			continue
		}
		r.report.PlaneChecks++
		if r.unequal++; d.DigestEqual {
			r.unequal = 0
		}
		if r.unequal == mostUnequal || d.Failed > 0 {
			r.v.Addf("data plane", "at revision %d, told by %s: digest equal %v, %d failed", d.Position.Revision, s.Name, d.DigestEqual, d.Failed)
		}
		return d.Lag == 0 && d.DigestEqual
	}
	return false
}

// planeSettles waits until the data plane has the newest revision.
func (r *run) planeSettles(ctx context.Context, s *Seat) {
	for !r.comparePlane(ctx, s) {
		if !r.plane.Running() {
			r.v.Addf("data plane", "it ended:\n%s", r.plane.Log())
			return
		}
		if pause(ctx) != nil {
			r.v.Addf("data plane", "it is not in sync:\n%s", r.plane.Log())
			return
		}
	}
}
