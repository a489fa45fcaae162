package systemd

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestFromEnvironment(t *testing.T) {
	for _, c := range []struct {
		name     string
		environ  []string
		nobody   bool
		watchdog time.Duration
		wrong    bool
	}{
		{name: "no manager", environ: []string{"PATH=/bin", "WATCHDOG_USEC=5"}, nobody: true},
		{name: "an empty socket", environ: []string{"NOTIFY_SOCKET="}, nobody: true},
		{name: "a path", environ: []string{"NOTIFY_SOCKET=/run/systemd/notify"}},
		{name: "an abstract name", environ: []string{"NOTIFY_SOCKET=@notify"}},
		{name: "a relative path", environ: []string{"NOTIFY_SOCKET=notify"}, wrong: true},
		{name: "a watchdog", environ: []string{"NOTIFY_SOCKET=/n", "WATCHDOG_USEC=30000000"}, watchdog: 30 * time.Second},
		{name: "ours", environ: []string{"NOTIFY_SOCKET=/n", "WATCHDOG_USEC=1500", "WATCHDOG_PID=7"}, watchdog: 1500 * time.Microsecond},
		{name: "the parent's", environ: []string{"NOTIFY_SOCKET=/n", "WATCHDOG_USEC=1500", "WATCHDOG_PID=8"}},
		{name: "no number", environ: []string{"NOTIFY_SOCKET=/n", "WATCHDOG_USEC=1s"}, wrong: true},
		{name: "zero", environ: []string{"NOTIFY_SOCKET=/n", "WATCHDOG_USEC=0"}, wrong: true},
		{name: "beyond time", environ: []string{"NOTIFY_SOCKET=/n", "WATCHDOG_USEC=9223372036854775807"}, wrong: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := FromEnvironment(c.environ, 7)
			if errors.Is(err, ErrEnvironment) != c.wrong {
				t.Fatalf("error %v", err)
			}
			if (n == nil) != (c.nobody || c.wrong) {
				t.Fatalf("notifier %v", n)
			}
			if n.Watchdog() != c.watchdog {
				t.Errorf("watchdog %v, want %v", n.Watchdog(), c.watchdog)
			}
		})
	}
}

func TestTell(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@dvr-" + filepath.Base(t.TempDir()) + "-" + time.Now().Format("150405.000000000")} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		n, err := FromEnvironment([]string{"NOTIFY_SOCKET=" + name}, 7)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Tell(Ready, Status("it serves\nREADY=0")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		size, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(b[:size]), "READY=1\nSTATUS=it serves"; got != want {
			t.Errorf("the manager got %q, want %q", got, want)
		}
	}
}

func TestTellNobody(t *testing.T) {
	var n *Notifier
	if err := n.Tell(Ready); err != nil {
		t.Error(err)
	}
	gone, err := FromEnvironment([]string{"NOTIFY_SOCKET=" + filepath.Join(t.TempDir(), "gone")}, 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Tell(Ready); err == nil {
		t.Error("a manager that is not there was told")
	}
}

// TestTellStalled: a manager that reads nothing holds nobody up for ever.
func TestTellStalled(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n, err := FromEnvironment([]string{"NOTIFY_SOCKET=" + name}, 7)
	if err != nil {
		t.Fatal(err)
	}
	for range 10000 { // more than the socket's queue takes
		if err = n.Tell(Alive); err != nil {
			break
		}
	}
	if err == nil {
		t.Error("everything was taken, although nobody read")
	}
}
