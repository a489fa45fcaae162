package robustness

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// delay holds back the packets of a netfilter queue, in their order. It is the
// substitute for netem on kernels without it.
type delay struct {
	fd      int
	by      time.Duration
	jitter  time.Duration
	packets chan held
	owned   sync.WaitGroup
}

type held struct {
	id  uint32
	due time.Time
}

// Of linux/netfilter/nfnetlink_queue.h.
const (
	delayQueue = 7

	msgPacket, msgVerdict, msgConfig  = 3 << 8, 3<<8 | 1, 3<<8 | 2
	attrPacketHeader, attrVerdict     = 1, 2
	attrCommand, attrParams, attrSize = 1, 2, 3
	commandBind, copyMeta, accept     = 1, 1, 1
	queueLength                       = 65536
)

func newDelay(namespace string, by, jitter time.Duration) (*delay, error) {
	d := &delay{by: by, jitter: jitter, packets: make(chan held, queueLength)}
	var err error
	inNamespace(namespace, func() {
		d.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	}, &err)
	if err != nil {
		return nil, fmt.Errorf("netfilter queue: %w", err)
	}
	// A read that times out looks whether the delay has ended.
	tv := unix.Timeval{Usec: 100_000}
	if err := errors.Join(
		unix.SetsockoptTimeval(d.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.SetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		unix.Bind(d.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		d.send(msgConfig, attribute(attrCommand, []byte{commandBind, 0, 0, unix.AF_INET})),
		d.send(msgConfig, attribute(attrParams, append(binary.BigEndian.AppendUint32(nil, 0), copyMeta))),
		d.send(msgConfig, attribute(attrSize, binary.BigEndian.AppendUint32(nil, queueLength))),
	); err != nil {
		unix.Close(d.fd)
		return nil, fmt.Errorf("netfilter queue: %w", err)
	}
	ended := make(chan struct{})
	d.owned.Go(func() { d.read(ended) })
	d.owned.Go(func() {
		defer close(ended)
		d.release()
	})
	return d, nil
}

// attribute is one netlink attribute, padded.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func (d *delay) send(kind uint16, attr []byte) error {
	b := binary.NativeEndian.AppendUint32(nil, uint32(16+4+len(attr)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, make([]byte, 8)...) // sequence, port
	b = append(b, unix.AF_UNSPEC, 0)
	b = binary.BigEndian.AppendUint16(b, delayQueue)
	return unix.Sendto(d.fd, append(b, attr...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// read takes packets in until release has ended.
func (d *delay) read(ended <-chan struct{}) {
	buffer := make([]byte, 64<<10)
	for {
		select {
		case <-ended:
			return
		default:
		}
		n, _, err := unix.Recvfrom(d.fd, buffer, 0)
		if err != nil {
			continue // the time-out, or an overrun: the kernel drops, as a full queue does
		}
		for id := range packetIDs(buffer[:n]) {
			due := time.Now().Add(d.by)
			if d.jitter > 0 {
				due = due.Add(rand.N(d.jitter))
			}
			select {
			case d.packets <- held{id, due}:
			case <-ended:
				return
			}
		}
	}
}

// packetIDs are the ids in the packet messages of a datagram.
func packetIDs(b []byte) func(yield func(uint32) bool) {
	return func(yield func(uint32) bool) {
		for len(b) >= 20 {
			size := int(binary.NativeEndian.Uint32(b))
			if size < 20 || size > len(b) {
				return
			}
			kind, attrs := binary.NativeEndian.Uint16(b[4:]), b[20:size]
			b = b[min((size+3)&^3, len(b)):]
			for kind == msgPacket && len(attrs) >= 8 {
				n := int(binary.NativeEndian.Uint16(attrs))
				if binary.NativeEndian.Uint16(attrs[2:])&0x3fff == attrPacketHeader {
					if !yield(binary.BigEndian.Uint32(attrs[4:])) {
						return
					}
					break
				}
				if n < 4 || (n+3)&^3 > len(attrs) {
					break
				}
				attrs = attrs[(n+3)&^3:]
			}
		}
	}
}

// release lets packets go when they are due, until close.
func (d *delay) release() {
	for p := range d.packets {
		if p.id == 0 && p.due.IsZero() {
			return
		}
		time.Sleep(time.Until(p.due)) // this is the delay
		verdict := binary.BigEndian.AppendUint32(nil, accept)
		verdict = binary.BigEndian.AppendUint32(verdict, p.id)
		_ = d.send(msgVerdict, attribute(attrVerdict, verdict))
	}
}

// close ends the delay; what is still held back is lost, as on a link that is cut.
func (d *delay) close() {
	d.packets <- held{}
	d.owned.Wait()
	unix.Close(d.fd)
}
