package doctor

import (
	"context"

	"dvr/controller/settings"
)

// Level is how bad a finding is.
type Level int

// The levels.
const (
	OK   Level = iota
	Warn       // a node runs, and something will be slow, or missing when it is needed
	Fail       // a node does not run, or loses what it is for
)

// String is as the table shows it.
func (l Level) String() string {
	switch l {
	case OK:
		return "ok"
	case Warn:
		return "warn"
	}
	return "FAIL"
}

// MarshalText is String, in lower case for programs.
func (l Level) MarshalText() ([]byte, error) {
	if l == Fail {
		return []byte("fail"), nil
	}
	return []byte(l.String()), nil
}

// Finding is what one check found.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // what to do; empty where nothing is
}

// Worst is the worst level among findings.
func Worst(list []Finding) (worst Level) {
	for _, f := range list {
		worst = max(worst, f.Level)
	}
	return worst
}

// Examine looks at the machine for a node with the settings. It takes a few
// seconds, writes one file of 8 KiB in the data directory and removes it, and
// with it the directory where there was none.
func Examine(ctx context.Context, s *settings.Settings) []Finding {
	defer removeMade(missing(s.DataDir))
	list := directory(s)
	if Worst(list) < Fail {
		list = append(list, sync(ctx, s.DataDir))
	}
	list = append(list, clock())
	list = append(list, ports(ctx, s)...)
	list = append(list, limits(s)...)
	return append(list, kernel())
}
