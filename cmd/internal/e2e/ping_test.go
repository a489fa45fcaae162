package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"
)

// pingEvery is how often each flow is pinged, and pingWait how long a reply may
// take until it counts as lost.
const (
	pingEvery = 20 * time.Millisecond
	pingWait  = time.Second
)

// pings are flows of ICMP echo requests from a host, an address each, sent all
// the time and counted.
type pings struct {
	targets []netip.Addr
	end     chan struct{}
	wg      sync.WaitGroup

	mu    sync.Mutex
	flows [][]ping // by target, by sequence number
}

type ping struct {
	sent     time.Time
	answered bool
}

// startPings pings the targets from a router's addresses, until the test ends.
func startPings(t *testing.T, l *lab, router string, from4, from6 netip.Addr, targets []netip.Addr) *pings {
	t.Helper()
	p := &pings{targets: targets, end: make(chan struct{}), flows: make([][]ping, len(targets))}
	var c4, c6 net.PacketConn
	var err4, err6 error
	l.within(router, func() {
		c4, err4 = net.ListenPacket("ip4:icmp", from4.String())
		c6, err6 = net.ListenPacket("ip6:ipv6-icmp", from6.String())
	})
	if err4 != nil || err6 != nil {
		t.Fatal(err4, err6)
	}
	t.Cleanup(func() {
		close(p.end)
		_, _ = c4.Close(), c6.Close()
		p.wg.Wait()
	})
	p.wg.Go(func() { p.receive(c4, 0) })
	p.wg.Go(func() { p.receive(c6, 129) })
	p.wg.Go(func() { p.send(c4, c6) })
	return p
}

func (p *pings) send(c4, c6 net.PacketConn) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.end:
			return
		case <-tick.C:
		}
		for flow, target := range p.targets {
			c, kind := c4, byte(8)
			if target.Is6() {
				c, kind = c6, 128
			}
			p.mu.Lock()
			number := len(p.flows[flow])
			p.flows[flow] = append(p.flows[flow], ping{sent: time.Now()})
			p.mu.Unlock()
			// A host that has no way answers with an error: a loss like others.
			_, _ = c.WriteTo(echo(kind, flow, number), &net.IPAddr{IP: target.AsSlice()})
		}
	}
}

// echo is an ICMP echo request; of IPv6 the kernel sets the checksum.
func echo(kind byte, flow, number int) []byte {
	m := make([]byte, 24)
	m[0] = kind
	binary.BigEndian.PutUint16(m[4:], uint16(os.Getpid()))
	binary.BigEndian.PutUint16(m[6:], uint16(number))
	binary.BigEndian.PutUint32(m[8:], uint32(flow))
	binary.BigEndian.PutUint32(m[12:], uint32(number))
	var sum uint32
	for i := 0; i < len(m); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(m[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(m[2:], ^uint16(sum+sum>>16))
	return m
}

func (p *pings) receive(c net.PacketConn, reply byte) {
	m := make([]byte, 1500)
	for {
		n, _, err := c.ReadFrom(m)
		select {
		case <-p.end:
			return
		default:
		}
		if err != nil || n < 16 || m[0] != reply || binary.BigEndian.Uint16(m[4:]) != uint16(os.Getpid()) {
			continue
		}
		flow, number := binary.BigEndian.Uint32(m[8:]), binary.BigEndian.Uint32(m[12:])
		p.mu.Lock()
		if flow < uint32(len(p.flows)) && number < uint32(len(p.flows[flow])) {
			p.flows[flow][number].answered = true
		}
		p.mu.Unlock()
	}
}

// healthy reports whether every flow's last pings, ten of those sent after begin,
// were answered; those of the last moment do not count, they are on their way.
func (p *pings) healthy(begin time.Time) bool {
	return p.answered(begin, func(netip.Addr) bool { return true }, true)
}

// silent reports whether none were, of the flows to some targets.
func (p *pings) silent(begin time.Time, to func(netip.Addr) bool) bool {
	return p.answered(begin, to, false)
}

func (p *pings) answered(begin time.Time, to func(netip.Addr) bool, want bool) bool {
	const enough = 10
	p.mu.Lock()
	defer p.mu.Unlock()
	for flow, target := range p.targets {
		if !to(target) {
			continue
		}
		seen := 0
		for i := len(p.flows[flow]) - 1; i >= 0 && seen < enough; i-- {
			one := p.flows[flow][i]
			if one.sent.Before(begin) {
				return false
			}
			if !one.answered && time.Since(one.sent) < pingWait/5 {
				continue
			}
			if one.answered != want {
				return false
			}
			seen++
		}
		if seen < enough {
			return false
		}
	}
	return true
}

// loss is what happened to the pings of some time.
type loss struct {
	sent, lost int
	hit, flows int           // flows that lost something, of how many
	worst      time.Duration // the longest time in which a flow had no answer
}

func (l loss) String() string {
	if l.lost == 0 {
		return fmt.Sprintf("%d pings of %d flows: none lost", l.sent, l.flows)
	}
	return fmt.Sprintf("%d pings of %d flows: %d lost, of %d flows; the longest silence of one was %v", l.sent, l.flows, l.lost, l.hit, l.worst.Round(time.Millisecond))
}

// since counts the pings sent from begin on whose time is over.
func (p *pings) since(begin time.Time) loss {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := loss{flows: len(p.flows)}
	for _, flow := range p.flows {
		lost, silence := 0, time.Time{} // since when nothing is answered
		for i, one := range flow {
			if one.sent.Before(begin) || !one.answered && time.Since(one.sent) < pingWait {
				continue
			}
			l.sent++
			if one.answered {
				silence = time.Time{}
				continue
			}
			lost++
			if silence.IsZero() {
				silence = one.sent
			}
			until := one.sent.Add(pingEvery)
			if i+1 < len(flow) {
				until = flow[i+1].sent
			}
			l.worst = max(l.worst, until.Sub(silence))
		}
		l.lost += lost
		if lost > 0 {
			l.hit++
		}
	}
	return l
}
