// Package systemd tells the service manager that started a process how the
// process is: a datagram on the socket that the manager names in the
// environment, sd_notify(3), without libsystemd.
package systemd

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// What a service says of itself; with Status, all that DVR says.
const (
	Ready    = "READY=1"    // it serves; once
	Stopping = "STOPPING=1" // it has begun to end
	Alive    = "WATCHDOG=1" // it does not hang; before each Watchdog has passed
)

// ErrEnvironment: what the manager put into the environment is not what sd_notify(3) says.
var ErrEnvironment = errors.New("the service manager's environment cannot be understood")

// Status is the sentence that `systemctl status` shows; of several lines only the first is sent.
func Status(sentence string) string {
	line, _, _ := strings.Cut(sentence, "\n")
	return "STATUS=" + line
}

// Notifier sends to the manager. A nil one, of a process that no manager
// started, takes everything and does nothing. Safe for concurrent use.
type Notifier struct {
	address  *net.UnixAddr
	watchdog time.Duration
}

// FromEnvironment is the notifier of the process with this id, whose environment
// is NAME=VALUE lines; nil where no manager waits for news.
func FromEnvironment(environ []string, pid int) (*Notifier, error) {
	values := map[string]string{}
	for _, line := range environ {
		if name, value, found := strings.Cut(line, "="); found {
			values[name] = value
		}
	}
	socket := values["NOTIFY_SOCKET"]
	if socket == "" {
		return nil, nil
	}
	if socket[0] != '/' && socket[0] != '@' { // @: a name in the abstract namespace
		return nil, fmt.Errorf("%w: NOTIFY_SOCKET=%s", ErrEnvironment, socket)
	}
	n := &Notifier{address: &net.UnixAddr{Name: socket, Net: "unixgram"}}
	if every := values["WATCHDOG_USEC"]; every != "" {
		if of := values["WATCHDOG_PID"]; of != "" && of != strconv.Itoa(pid) {
			return n, nil // of our parent, whose environment we inherited
		}
		micros, err := strconv.ParseInt(every, 10, 64)
		if err != nil || micros <= 0 || micros > int64(time.Duration(1<<63-1)/time.Microsecond) {
			return nil, fmt.Errorf("%w: WATCHDOG_USEC=%s", ErrEnvironment, every)
		}
		n.watchdog = time.Duration(micros) * time.Microsecond
	}
	return n, nil
}

// Watchdog is how long the manager waits for the next Alive before it kills the
// process; 0: for ever.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Tell sends the assignments in one datagram. It waits at most a second, for a
// manager that does not read.
func (n *Notifier) Tell(assignments ...string) error {
	if n == nil || len(assignments) == 0 {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, n.address)
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	if _, err := c.Write([]byte(strings.Join(assignments, "\n"))); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}
