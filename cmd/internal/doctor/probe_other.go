//go:build !linux

package doctor

import (
	"errors"
	"os"
	"time"
)

var errElsewhere = errors.New("known on Linux only")

func fileSystemOf(string) (name string, free int64, err error) { return "", 0, errElsewhere }

func datasync(f *os.File) error { return f.Sync() }

func clockOf() (state int, status int32, most time.Duration, err error) {
	return 0, 0, 0, errElsewhere
}
