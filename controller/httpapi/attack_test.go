package httpapi

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// listening serves the API on a port of loopback until the test ends.
func listening(t *testing.T, change ...func(*Front)) (*api, string) {
	t.Helper()
	a := newAPI(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := a.front()
	for _, c := range change {
		c(f)
	}
	done := make(chan error, 1)
	go func() { done <- f.Serve(l) }()
	t.Cleanup(func() {
		_ = f.http.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a, l.Addr().String()
}

// heap is what is in use after a collection, in MiB.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse+m.StackInuse) >> 20
}

// probe asks for a probe on a connection of its own.
func probe(t *testing.T, address string) time.Duration {
	t.Helper()
	begun := time.Now()
	c := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + address + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != 200 {
		t.Fatalf("livez: %d", r.StatusCode)
	}
	return time.Since(begun)
}

// TestIdleConnections: ten thousand connections that say nothing, and as many
// that stay after a call, hold little memory and nobody up.
func TestIdleConnections(t *testing.T) {
	const many = 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 2*many+500 && limit.Cur < 5000 {
		t.Skipf("both ends of %d connections need more open files than %d", many, limit.Cur)
	}
	n := min(many, int(limit.Cur-500)/2)
	_, address := listening(t)
	probe(t, address)
	before := heap()
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	buffer := make([]byte, 4<<10)
	for i := range n {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		conns = append(conns, c)
		if i%2 == 0 {
			continue
		}
		fmt.Fprint(c, "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		if _, err := c.Read(buffer); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	took, more := probe(t, address), heap()-before
	t.Logf("%d connections: %d MiB more at both ends, a call takes %s", n, more, took)
	if more > int64(n)*40>>10 { // 40 KiB each
		t.Errorf("%d connections hold %d MiB", n, more)
	}
}

// TestSlowLoris: heads and bodies that never end are cut, and meanwhile hold up
// nobody.
func TestSlowLoris(t *testing.T) {
	const soon = 500 * time.Millisecond
	_, address := listening(t, func(f *Front) { f.http.ReadHeaderTimeout, f.http.ReadTimeout = soon, soon })
	for what, head := range map[string]string{
		"nothing": "", "half a line": "GET /liv", "headers without end": "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b\r\n",
		"a body that does not come":     "POST /v1/commits HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		"a chunk that does not come":    "POST /v1/commits HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{",
		"a body that nobody waits for":  "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n",
		"an import that does not begin": "POST /v1/routes/import?timeout=300ms HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			stop := make(chan struct{})
			defer close(stop)
			fmt.Fprint(c, head)
			if strings.HasPrefix(what, "headers") {
				go func() { // a byte now and then
					for t := time.NewTicker(20 * time.Millisecond); ; {
						select {
						case <-t.C:
							fmt.Fprint(c, "X-B: c\r\n")
						case <-stop:
							return
						}
					}
				}()
			}
			probe(t, address)
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := io.Copy(io.Discard, c); err != nil {
				if e, ok := err.(net.Error); ok && e.Timeout() {
					t.Error("it is not cut")
				}
			}
		})
	}
}

// TestOversized: heads and bodies beyond their bounds are refused, by a code that
// says so where the head was taken, without being read to their end.
func TestOversized(t *testing.T) {
	_, address := listening(t)
	for what, c := range map[string]struct {
		head string
		fill int // bytes of filling behind it
		want int
	}{
		"a line":              {"GET /", 1 << 20, 431},
		"a header":            {"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ", 1 << 20, 431},
		"a declared object":   {"POST /routes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n", 0, 413},
		"a declared commit":   {"POST /v1/commits HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n", 0, 413},
		"an undeclared value": {"PUT /kv/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n4000000\r\n", 8 << 20, 400},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			k, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			_ = k.SetDeadline(time.Now().Add(time.Minute))
			go func() { // ends with the connection
				if _, err := io.WriteString(k, c.head); err == nil && c.fill > 0 {
					_, _ = k.Write(bytes.Repeat([]byte("a"), c.fill))
				}
			}()
			r, err := http.ReadResponse(bufio.NewReader(k), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Body.Close()
			if r.StatusCode != c.want {
				t.Errorf("%d, want %d", r.StatusCode, c.want)
			}
		})
	}
}

// bomb is n bytes of one kind in little.
func bomb(t *testing.T, coding string, line string, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if coding == "zstd" {
		z, err := zstd.NewWriter(&b, zstd.WithWindowSize(8<<20))
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	piece := []byte(strings.Repeat(line, max(1, (1<<20)/len(line))))
	for written := 0; written < n; written += len(piece) {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBombs: a body that is small compressed and huge open is refused where it
// passes a bound, in bounded memory: one line without end, lines that are no
// routes, and a window that the decoder would have to hold.
func TestBombs(t *testing.T) {
	a := newAPI(t)
	// A frame that declares a window of 2 GiB, and a block of 1 MiB of one letter.
	wide := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x03, 0x00, 0x08, 'a'}
	for what, c := range map[string]struct {
		coding string
		body   []byte
	}{
		"gzip, one line":      {"gzip", bomb(t, "gzip", "a", 64<<20)},
		"zstd, one line":      {"zstd", bomb(t, "zstd", "a", 64<<20)},
		"gzip, empty lines":   {"gzip", bomb(t, "gzip", "\n", 8<<20)},
		"zstd, wrong lines":   {"zstd", bomb(t, "zstd", "{}\n", 2<<20)},
		"zstd, a window":      {"zstd", wide},
		"gzip, in the middle": {"gzip", append([]byte(nil), bomb(t, "gzip", "a", 8<<20)[:100]...)},
	} {
		for _, mode := range []string{"", "?atomic=true"} {
			var peak int64
			before := heap()
			done, ended := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				for {
					select {
					case <-done:
						return
					case <-time.After(20 * time.Millisecond):
						var m runtime.MemStats
						runtime.ReadMemStats(&m)
						peak = max(peak, int64(m.HeapInuse)>>20)
					}
				}
			}()
			begun := time.Now()
			r := a.send("POST", "/v1/routes/import"+mode, bytes.NewReader(c.body), "Content-Type: application/x-ndjson", "Content-Encoding: "+c.coding)
			close(done)
			<-ended
			if r.Code < 400 || r.Code >= 500 {
				t.Errorf("%s%s: %d %.300s", what, mode, r.Code, r.Body)
			}
			if len(r.Body) > 64<<10 {
				t.Errorf("%s%s: an answer of %d bytes", what, mode, len(r.Body))
			}
			if peak-before > 200 {
				t.Errorf("%s%s: %d bytes took %d MiB more in %s", what, mode, len(c.body), peak-before, time.Since(begun))
			}
		}
	}
	for _, target := range []string{"/routes", "/v1/commits"} { // no others may be compressed
		if r := a.send("POST", target, bytes.NewReader(bomb(t, "gzip", "a", 8<<20)), "Content-Type: application/json", "Content-Encoding: gzip"); r.Code != 415 {
			t.Errorf("%s: %d", target, r.Code)
		}
	}
	if left := a.server.bodies.left.Load(); left != bodyBudget {
		t.Errorf("%d bytes were not given back", bodyBudget-left)
	}
	if a.revision() != 1 {
		t.Errorf("revision %d", a.revision())
	}
}
