package node

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// drainDirectories is how long a stop waits for work on BACKUP_DIR and
// ARCHIVE_DIR: that of a healthy file system is mostly done within it.
const drainDirectories = time.Second

// beside runs work on a directory that may be another machine's, and returns when
// the work has, or limit after ctx ended: a call into a file system that hangs
// returns never, and heeds no context. What is left behind ends with the process;
// nothing that a stop closes may be needed by it. told is called where it is left.
func beside(ctx context.Context, limit time.Duration, work func(), told func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		told()
	}
}

// runBeside runs work on the directory of a setting until ctx ends.
func (n *Node) runBeside(ctx context.Context, setting, dir string, work func(context.Context)) {
	n.run(func() {
		beside(ctx, drainDirectories, func() { work(ctx) }, func() {
			n.log.Warn("work on a directory did not end: it is left to the end of the process", zap.String("setting", setting), zap.String("directory", dir), zap.Duration("after", drainDirectories))
		})
	})
}
