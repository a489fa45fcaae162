package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// counted is an upload's body, counted as it is read; it seeks where its
// source does, so that it can be sent again.
type counted struct {
	in       io.Reader
	progress *progress
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.progress.took(b[:n])
	return n, err
}

func (c *counted) Seek(offset int64, whence int) (int64, error) {
	s, ok := c.in.(io.Seeker)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	at, err := s.Seek(offset, whence)
	if err == nil && whence != io.SeekCurrent { // sent anew
		c.progress.sent.Store(at)
		c.progress.lines.Store(0)
	}
	return at, err
}

// progress draws how much of an upload was sent and how fast, on terminals
// only. The node takes no more than it commits, so what was sent is, but for
// what is under way, what was committed or refused.
type progress struct {
	sent, lines atomic.Int64
	total       int64 // bytes, 0: unknown
	plain       bool  // the lines of the upload can be counted
	begin       time.Time
	now         func() time.Time
	w           io.Writer
	quit        chan struct{}
	ended       chan struct{}
}

func startProgress(c *connection, total int64, plain bool) *progress {
	p := &progress{total: total, plain: plain, begin: time.Now(), now: time.Now, w: c.errOut, quit: make(chan struct{}), ended: make(chan struct{})}
	if !c.terminal || c.output != "table" {
		close(p.ended)
		return p
	}
	go func() {
		defer close(p.ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-p.quit:
				fmt.Fprint(p.w, "\r\033[K")
				return
			case <-tick.C:
				p.draw()
			}
		}
	}()
	return p
}

func (p *progress) took(b []byte) {
	p.sent.Add(int64(len(b)))
	if p.plain {
		p.lines.Add(int64(bytes.Count(b, []byte{'\n'})))
	}
}

// draw shows "[====    ]  50 %  530,000 lines, 212,000 a second, 3 s left".
func (p *progress) draw() {
	sent, seconds := p.sent.Load(), max(p.now().Sub(p.begin).Seconds(), 0.001)
	var parts []string
	if p.plain {
		n := p.lines.Load()
		parts = append(parts, thousands(n)+" lines", thousands(int64(float64(n)/seconds))+" a second")
	} else {
		parts = append(parts, fmt.Sprintf("%.1f MiB", float64(sent)/(1<<20)), fmt.Sprintf("%.1f MiB a second", float64(sent)/(1<<20)/seconds))
	}
	bar := ""
	if p.total > 0 {
		const width = 30
		done := int(min(sent*width/p.total, width))
		bar = fmt.Sprintf("[%s%s] %3d %%  ", strings.Repeat("=", done), strings.Repeat(" ", width-done), min(sent*100/p.total, 100))
		if sent > 0 && sent < p.total && seconds > 1 {
			parts = append(parts, fmt.Sprintf("%.0f s left", seconds*float64(p.total-sent)/float64(sent)))
		}
	}
	fmt.Fprintf(p.w, "\r%s%s\033[K", bar, strings.Join(parts, ", "))
}

// pace is what an upload of so many routes took; nothing where it was short.
func (p *progress) pace(routes int64) string {
	took := p.now().Sub(p.begin)
	if took < time.Second {
		return ""
	}
	return fmt.Sprintf(" in %.1f s, %s a second", took.Seconds(), thousands(int64(float64(routes)/took.Seconds())))
}

func (p *progress) stop() {
	close(p.quit)
	<-p.ended
}
