package robustness

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// trace lets strace tamper with a node's calls for a while.
func (s *scene) trace(ctx context.Context, t *Seat, inject string) error {
	pid := t.Pid()
	if pid == 0 {
		return nil
	}
	c := exec.Command("strace", "-f", "-qq", "-p", fmt.Sprint(pid), "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject="+inject)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return fmt.Errorf("strace: %w", err)
	}
	s.last(ctx)
	// It detaches and ends; where the node has ended it has, too.
	_ = c.Process.Signal(syscall.SIGINT)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		_ = c.Process.Kill()
		<-ended
	}
	return nil
}

// ballast lies in etcd beside the log.
const ballast = "/ballast/"

// fillQuota fills etcd with what is not the log's until it refuses writes, and
// takes it away again.
func fillQuota(ctx context.Context, s *scene) error {
	t := s.target(ctx)
	kv := t.Etcd()
	value := string(make([]byte, 1<<20))
	full := false
	for i := 0; !full && ctx.Err() == nil && i < 1000; i++ {
		bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := kv.Put(bounded, fmt.Sprintf("%s%d", ballast, i), value)
		cancel()
		full = errors.Is(err, rpctypes.ErrNoSpace)
	}
	s.logf("etcd is full: %v", full)
	s.last(ctx)
	for {
		bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := kv.Delete(bounded, ballast, clientv3.WithPrefix())
		cancel()
		if err == nil {
			return nil
		}
		if pause(ctx) != nil {
			return fmt.Errorf("free the quota: %w", err)
		}
	}
}

// compact removes all history from etcd, as of now.
func (s *Seat) compact(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := s.etcd.Get(ctx, headKey, clientv3.WithSerializable())
	if err != nil {
		return err
	}
	_, err = s.etcd.Compact(ctx, r.Header.Revision)
	return err
}
