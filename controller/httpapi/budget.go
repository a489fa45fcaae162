package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"dvr/controller/service"
)

// What bodies may take of memory at a time, all calls together.
const (
	bodyBudget = 256 << 20
	// An import streams: it holds lines in flight, and zstd its window.
	importCost = 8 << 20
	atomicCost = 96 << 20 // two at a time: what they gather is not counted by line
)

// budget bounds the memory of bodies that are worked on. Bytes are counted as
// they come, not as they are declared: who declares much and sends nothing
// takes nothing from others.
type budget struct{ left atomic.Int64 }

var errBodies = fmt.Errorf("%w: the bodies of calls in progress take %d MiB", service.ErrOverloaded, bodyBudget>>20)

func (b *budget) take(n int64) error {
	if b.left.Add(-n) < 0 {
		b.left.Add(n)
		return errBodies
	}
	return nil
}

func (b *budget) give(n int64) { b.left.Add(n) }

// meter counts what is read of r's body until the function it returns is called.
func (b *budget) meter(r *http.Request) (release func()) {
	m := &metered{ReadCloser: r.Body, budget: b}
	r.Body = m
	return func() { b.give(m.taken) }
}

type metered struct {
	io.ReadCloser
	budget *budget
	taken  int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	if n > 0 {
		if e := m.budget.take(int64(n)); e != nil {
			return 0, e
		}
		m.taken += int64(n)
	}
	return n, err
}
