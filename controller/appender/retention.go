package appender

import (
	"slices"

	"dvr/eventlog"
)

// retention is what the keeper may forget.
type retention struct {
	low    eventlog.Revision // oldest revision to retain; 0: leave it
	base   *eventlog.SnapshotInfo
	remove []eventlog.SnapshotInfo
}

// retain decides which snapshots stay. snapshots are newest first and whole;
// low is the oldest retained revision; cutoff is the log time (Unix
// milliseconds) before which nothing needs to be kept; crowded says that the
// log takes more space than it may, so that one step more is forgotten.
//
// Kept are the newest, the base (the newest one at or before cutoff, from
// which the oldest retained revision is rebuilt) and up to extra between them,
// thinned so that their distances from the head grow by about equal factors.
func retain(snapshots []eventlog.SnapshotInfo, low eventlog.Revision, cutoff int64, crowded bool, extra int) retention {
	var r retention
	if len(snapshots) == 0 {
		return r
	}
	base := slices.IndexFunc(snapshots, func(s eventlog.SnapshotInfo) bool { return s.Time <= cutoff })
	oldest := len(snapshots) - 1
	if crowded {
		step := oldest
		if snapshots[oldest].Revision < low && oldest > 0 {
			step = oldest - 1 // the log begins at the oldest: drop up to the next
		}
		if base < 0 || step < base {
			base = step
		}
	}
	last := oldest
	if base >= 0 {
		last = base
		if snapshots[base].Revision+1 > low {
			r.low = snapshots[base].Revision + 1
			r.base = &snapshots[base]
		}
	}
	r.remove = append(r.remove, snapshots[last+1:]...)
	// Without a base the log begins at revision 1 or at the oldest snapshot,
	// which then is needed as the base would be.
	between := slices.Clone(snapshots[min(1, last):last])
	head := snapshots[0].Revision
	for len(between) > extra {
		at := thinnest(between, snapshots[last], head)
		r.remove = append(r.remove, between[at])
		between = slices.Delete(between, at, at+1)
	}
	return r
}

// thinnest finds the snapshot whose removal leaves the smallest gap between
// its neighbours, measured as the ratio of their distances from the head.
func thinnest(list []eventlog.SnapshotInfo, older eventlog.SnapshotInfo, head eventlog.Revision) int {
	distance := func(i int) float64 {
		switch {
		case i < 0:
			return 1
		case i == len(list):
			return float64(head-older.Revision) + 1
		}
		return float64(head-list[i].Revision) + 1
	}
	best, ratio := 0, 0.0
	for i := range list {
		if r := distance(i+1) / distance(i-1); i == 0 || r < ratio {
			best, ratio = i, r
		}
	}
	return best
}
