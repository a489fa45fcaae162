package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func readAll(t *testing.T, r io.Reader) (events []string, id string, err error) {
	t.Helper()
	err = readEvents(r, &id, func() {}, func(e Event) error {
		events = append(events, e.Kind+" "+string(e.Data))
		return nil
	})
	return events, id, err
}

func TestReadEvents(t *testing.T) {
	long := strings.Repeat("x", 300<<10)
	for _, c := range []struct {
		stream string
		want   []string
		id     string
	}{
		{"", nil, ""},
		{"data: a\n\n", []string{"message a"}, ""},
		{"id: 7\nevent: put\ndata: {}\n\n", []string{"put {}"}, "7"},
		{"id: 7\n: heartbeat\n\n", nil, "7"},
		{"id: 7\ndata: a\n", nil, ""},
		{"id: 7\ndata: a\n\nid: 8\n", []string{"message a"}, "7"},
		{"data: a\ndata:b\n\n", []string{"message a\nb"}, ""},
		{"retry: 5\nevent: put\n\ndata: a\r\n\r\n", []string{"message a"}, ""},
		{"data\n\n", []string{"message "}, ""},
		{"id: 1\ndata: a\n\ndata: b\n\nid\n\n", []string{"message a", "message b"}, ""},
		{"id: a\x00b\ndata: " + long + "\n\n", []string{"message " + long}, ""},
		{"data: " + long + "\n\ndata: short\n\n", []string{"message " + long, "message short"}, ""},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.stream), iotest.OneByteReader(strings.NewReader(c.stream))} {
			got, id, err := readAll(t, r)
			if diff := cmp.Diff(c.want, got); diff != "" || id != c.id || err != io.EOF {
				t.Errorf("%.60q: id %q, %v, %.200s", c.stream, id, err, diff)
			}
		}
	}
	if _, _, err := readAll(t, strings.NewReader("data: "+strings.Repeat("x", 2*maxEventLine)+"\n\n")); !errors.Is(err, errLongLine) {
		t.Errorf("an endless line: %v", err)
	}
	if _, _, err := readAll(t, strings.NewReader(strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 2000))); !errors.Is(err, errLongLine) {
		t.Errorf("endless data: %v", err)
	}
}

// FuzzReadEvents: any bytes are read without more memory than the limits, and
// alike in one piece or byte by byte.
func FuzzReadEvents(f *testing.F) {
	f.Add([]byte("id: 7\nevent: put\ndata: {}\n\n: x\n\n"))
	f.Add([]byte("data\r\n\r\nid\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, id, err := readAll(t, bytes.NewReader(raw))
		b, id2, err2 := readAll(t, iotest.OneByteReader(bytes.NewReader(raw)))
		if diff := cmp.Diff(a, b); diff != "" || id != id2 || (err == nil) != (err2 == nil) {
			t.Fatalf("%q: %s", raw, diff)
		}
	})
}

// TestEventsAreResumed: after a break it goes on behind the last whole event,
// at the next endpoint where one has gone.
func TestEventsAreResumed(t *testing.T) {
	var calls atomic.Int32
	stream := func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		from := 0
		_, _ = fmt.Sscan(r.Header.Get("Last-Event-ID"), &from)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := from + 1; i <= from+2; i++ {
			fmt.Fprintf(w, "id: %d\ndata: %d\n\n", i, i)
		}
		fmt.Fprintf(w, "id: %d\ndata: cut", from+3)
	}
	first, second := httptest.NewServer(http.HandlerFunc(stream)), httptest.NewServer(http.HandlerFunc(stream))
	defer second.Close()
	c, err := New([]string{first.URL, second.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	c.pause = time.Millisecond
	enough := errors.New("enough")
	var got []string
	err = c.Events(context.Background(), Call{Method: "GET", Path: "/x"}, 10*time.Second, func(e Event) error {
		got = append(got, string(e.Data))
		if len(got) == 2 {
			first.CloseClientConnections()
			go first.Close()
		}
		if len(got) == 6 {
			return enough
		}
		return nil
	})
	if fmt.Sprint(got) != "[1 2 3 4 5 6]" || !errors.Is(err, enough) || calls.Load() < 3 {
		t.Errorf("%v after %d calls: %v", got, calls.Load(), err)
	}
}

func TestEventsGiveUp(t *testing.T) {
	var refuse atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse.Swap(true) {
			w.WriteHeader(http.StatusGone)
			fmt.Fprint(w, `{"title":"No longer retained"}`)
			return
		}
		fmt.Fprint(w, "id: 1\ndata: 1\n\n")
	}))
	c, err := New([]string{s.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	c.pause = time.Millisecond
	nothing := func(Event) error { return nil }
	var p *Problem
	if err := c.Events(context.Background(), Call{Method: "GET", Path: "/x"}, time.Second, nothing); !errors.As(err, &p) || p.Status != http.StatusGone {
		t.Errorf("what is gone: %v", err)
	}
	s.Close()
	if err := c.Events(context.Background(), Call{Method: "GET", Path: "/x"}, time.Second, nothing); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	if c, err = New([]string{silent.URL}, ""); err != nil {
		t.Fatal(err)
	}
	if err := c.Events(context.Background(), Call{Method: "GET", Path: "/x"}, 50*time.Millisecond, nothing); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a silent node: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Events(ctx, Call{Method: "GET", Path: "/x"}, time.Second, nothing); err == nil {
		t.Error("an ended context is no error")
	}
}

// TestEventsSayWhenTheyFollow: that a stream was opened, and has broken, is told
// in order, each time.
func TestEventsSayWhenTheyFollow(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "id: %d\ndata: %d\n\n", calls.Add(1), calls.Load())
	}))
	defer s.Close()
	c, err := New([]string{s.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	c.pause = time.Millisecond
	var got []string
	c.Follows = func(open bool) { got = append(got, fmt.Sprint(open)) }
	enough := errors.New("enough")
	err = c.Events(t.Context(), Call{Method: "GET", Path: "/x"}, 10*time.Second, func(e Event) error {
		got = append(got, string(e.Data))
		if string(e.Data) == "2" {
			return enough
		}
		return nil
	})
	if want := "[true 1 false true 2 false]"; fmt.Sprint(got) != want || !errors.Is(err, enough) {
		t.Errorf("%v, want %s; %v", got, want, err)
	}
}
