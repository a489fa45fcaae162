package etcdserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/storage/wal"
)

// etcd reserves the segments of its write-ahead log by fallocate, which leaves
// their blocks unwritten: the first fdatasync that reaches a block commits the
// file system's journal too, a second write to the disk (ext4 and XFS; 235
// instead of 145 us for 8 KiB). Its pipeline keeps one segment ahead, 0.tmp and
// 1.tmp in turn, and uses what has that name already. So the one after that is
// written out with zeros and put where the pipeline will look. Segments that are
// needed faster than this are reserved as ever, and so are a log's first two.

const (
	// segmentBytes is a segment's size, a quarter of etcd's: a new log comes to
	// written segments sooner, and an idle member keeps less disk reserved.
	segmentBytes = 16 << 20
	// spareName ends in .tmp: what does etcd passes over.
	spareName = "spare.tmp"
	// spareEvery is how often the next segment is looked for.
	spareEvery = 250 * time.Millisecond
	// spareChunk is written at once, with sparePause after it, so that the log's
	// own writes are not held up: a segment takes about 100 ms.
	spareChunk = 1 << 20
	sparePause = 5 * time.Millisecond
	// sparePatience follows a failure, as of a full disk.
	sparePatience = time.Minute
)

func init() { wal.SegmentSizeBytes = segmentBytes }

// keepSegment keeps the next segment of the write-ahead log in dir written out
// until stop is closed. It never writes to a file that etcd has or may open.
func keepSegment(stop <-chan struct{}, dir string) {
	timer := time.NewTimer(spareEvery)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		pause := spareEvery
		if name, ok := nextSegment(dir); ok {
			if err := placeSegment(stop, dir, name, segmentBytes); err != nil {
				pause = sparePatience
			}
		}
		timer.Reset(pause)
	}
}

// nextSegment names the file that the pipeline opens after the one it holds,
// unless it is there already.
func nextSegment(dir string) (name string, missing bool) {
	_, zero := os.Lstat(filepath.Join(dir, "0.tmp"))
	_, one := os.Lstat(filepath.Join(dir, "1.tmp"))
	switch {
	case zero == nil && errors.Is(one, fs.ErrNotExist):
		return "1.tmp", true
	case one == nil && errors.Is(zero, fs.ErrNotExist):
		return "0.tmp", true
	}
	return "", false
}

var errStopped = errors.New("stopped")

// placeSegment writes a file of size zeros and then gives it the name in one
// step, or, where the pipeline was faster, drops it. A spare of an earlier
// process is removed, never written to.
func placeSegment(stop <-chan struct{}, dir, name string, size int64) error {
	spare := filepath.Join(dir, spareName)
	if err := os.Remove(spare); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("spare segment: %w", err)
	}
	err := writeZeros(stop, spare, size)
	if err == nil {
		err = os.Link(spare, filepath.Join(dir, name)) // replaces nothing
	}
	_ = os.Remove(spare)
	if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, errStopped) {
		return fmt.Errorf("spare segment: %w", err)
	}
	return nil
}

func writeZeros(stop <-chan struct{}, path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	pause := time.NewTicker(sparePause)
	defer pause.Stop()
	zeros := make([]byte, spareChunk)
	for left := size; left > 0; left -= spareChunk {
		if _, err := f.Write(zeros[:min(left, spareChunk)]); err != nil {
			return err
		}
		select {
		case <-stop:
			return errStopped
		case <-pause.C:
		}
	}
	return f.Sync()
}
