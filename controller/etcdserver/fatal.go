package etcdserver

import (
	"fmt"
	"runtime"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// fatalTrap takes the place of os.Exit and panic in etcd's logger. A fatal
// entry is remembered and ends the goroutine that wrote it, exactly as the
// panic would (deferred calls run, nothing after the entry does), but the
// process lives on to close what else it holds and to exit with a message.
// etcd is then beyond repair: the member no longer applies, and must be ended.
type fatalTrap struct {
	once  sync.Once
	err   error // written before fired is closed
	fired chan struct{}
}

func newFatalTrap() *fatalTrap { return &fatalTrap{fired: make(chan struct{})} }

// OnWrite implements zapcore.CheckWriteHook.
func (t *fatalTrap) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	t.once.Do(func() {
		enc := zapcore.NewMapObjectEncoder()
		for _, f := range fields {
			f.AddTo(enc)
		}
		cause := ""
		if e, ok := enc.Fields["error"]; ok {
			cause = fmt.Sprintf(": %v", e)
		}
		t.err = fmt.Errorf("etcd gave up: %s%s", entry.Message, cause)
		close(t.fired)
	})
	runtime.Goexit()
}

// logger returns lg with the trap set and without the entries that mean nothing.
func (t *fatalTrap) logger(lg *zap.Logger) *zap.Logger {
	if lg == nil {
		lg = zap.NewNop()
	}
	return lg.WithOptions(zap.WithFatalHook(t), zap.WithPanicHook(t), zap.WrapCore(func(c zapcore.Core) zapcore.Core { return newQuietCore(c) }))
}
