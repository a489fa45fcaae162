package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// followed is a log that several servers tell of, as far as `dvr log follow` asks.
type followed struct {
	mu      sync.Mutex
	newest  int
	grown   chan struct{}
	watches []string // where each one began
	calls   int      // for commits
}

func (f *followed) grow(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.newest += n
	close(f.grown)
	f.grown = make(chan struct{})
}

func (f *followed) now() (int, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newest, f.grown
}

func (f *followed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	newest, _ := f.now()
	after, _ := strconv.Atoi(r.URL.Query().Get("after"))
	switch r.URL.Path {
	case "/v1/status":
		fmt.Fprintf(w, `{"revision":%d}`, newest)
	case "/v1/commits":
		f.mu.Lock()
		f.calls++
		f.mu.Unlock()
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		if least, _ := strconv.Atoi(r.URL.Query().Get("min_revision")); least > newest {
			http.Error(w, `{"status":400,"detail":"to come"}`, 400)
			return
		}
		var list []string
		for i := after + 1; i <= min(newest, after+limit); i++ {
			list = append(list, fmt.Sprintf(`{"revision":%d,"id":"c%d","actor":"alice","n":1,"events":[{"kind":"key.put","key":"k%d"}]}`, i, i, i))
		}
		fmt.Fprintf(w, `{"commits":[%s],"revision":%d}`, strings.Join(list, ","), newest)
	case "/v1/watch":
		if id := r.Header.Get("Last-Event-ID"); id != "" {
			after, _ = strconv.Atoi(id)
		}
		f.mu.Lock()
		f.watches = append(f.watches, fmt.Sprint(r.Host, " ", after))
		f.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "id: %d\n: heartbeat\n\n", after)
		for {
			newest, grown := f.now()
			for after < newest {
				after++
				fmt.Fprintf(w, "id: %d\nevent: commits\ndata: {\"revision\":%d}\n\n", after, after)
			}
			w.(http.Flusher).Flush()
			select {
			case <-grown:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// lines is a writer that waits for what is written.
type lines struct {
	mu  sync.Mutex
	b   bytes.Buffer
	put chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p)
	select {
	case l.put <- struct{}{}:
	default:
	}
	return len(p), nil
}

// await waits for n lines.
func (l *lines) await(t *testing.T, n int) string {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		l.mu.Lock()
		text := l.b.String()
		l.mu.Unlock()
		if strings.Count(text, "\n") >= n {
			return text
		}
		select {
		case <-l.put:
		case <-limit:
			t.Fatalf("%d lines were wanted: %s", n, text)
		}
	}
}

// TestFollowIsWoken: commits are printed once each, whole and in order, as they are
// made, while nothing is made nothing is asked, and it goes on at another endpoint
// when the one that it watches is gone.
func TestFollowIsWoken(t *testing.T) {
	log := &followed{newest: 2500, grown: make(chan struct{})}
	first, second := httptest.NewServer(log), httptest.NewServer(log)
	defer second.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &lines{put: make(chan struct{}, 1)}
	root := Root(Streams{In: strings.NewReader(""), Out: out, Err: &bytes.Buffer{}})
	root.SetArgs([]string{"--endpoint", first.URL + "," + second.URL, "log", "follow", "--after", "100"})
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	out.await(t, 2400) // what there is, in pages
	log.grow(1)
	out.await(t, 2401)
	log.grow(300)
	out.await(t, 2701)
	first.CloseClientConnections()
	first.Close()
	log.grow(5)
	text := out.await(t, 2706)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended by its user: %v", err)
	}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if want := fmt.Sprint(101 + i); !strings.HasPrefix(line, want+" ") || !strings.Contains(line, "key.put k"+want) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	n := len(log.watches)
	if n < 2 || log.watches[0] != strings.TrimPrefix(first.URL, "http://")+" 2500" || !strings.HasPrefix(log.watches[n-1], strings.TrimPrefix(second.URL, "http://")) {
		t.Errorf("watched %q", log.watches)
	}
	if log.calls > 60 { // 3 pages, then some for each time that it grew
		t.Errorf("%d calls for commits", log.calls)
	}
}

// TestFollowOneThatIsNotThere: an error, at once.
func TestFollowOneThatIsNotThere(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/status" {
			fmt.Fprint(w, `{"revision":9}`)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusGone)
		fmt.Fprint(w, `{"status":410,"detail":"the log begins at revision 7"}`)
	}))
	defer s.Close()
	for _, args := range [][]string{{"--after", "2"}, nil} {
		code, _, message := executed(t, append([]string{"--endpoint", s.URL, "log", "follow"}, args...)...)
		if code == 0 || !strings.Contains(message, "begins at revision 7") {
			t.Errorf("%v: exit %d, %s", args, code, message)
		}
	}
}
