package e2e

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtool sets a feature of an interface, as the tool of that name does.
func ethtool(fd int, name string, value *struct{ command, data uint32 }) error {
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(value)}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}
