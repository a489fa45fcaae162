package doctor

import (
	"fmt"
	"time"
)

// clock asks the kernel whether something keeps its clock right.
func clock() Finding {
	state, status, most, err := clockOf()
	if err != nil {
		return Finding{"clock", Warn, err.Error(), "the kernel does not say whether the clock is kept right; see to it on the host"}
	}
	return clockState(state, status, most)
}

// Of adjtimex: TIME_ERROR, the clock is not synchronised, and STA_UNSYNC, likewise.
const (
	errorState     = 5
	unsynchronised = 0x40
)

// clockState judges what the kernel says of its clock.
func clockState(state int, status int32, most time.Duration) Finding {
	f := Finding{Check: "clock", Found: fmt.Sprintf("synchronised, off by %s at most", short(most))}
	switch {
	case state == errorState || status&unsynchronised != 0:
		f.Level, f.Found = Warn, "nothing keeps it right"
		f.Advice = "run chrony or systemd-timesyncd: timers, freezes and confirmations go by it (order never does); a node that is off by more than 2 s runs no timers"
	case most > 2*time.Second:
		f.Level, f.Advice = Warn, "a node that is off by more than 2 s runs no timers: see to the time servers (chronyc sources)"
	}
	return f
}
