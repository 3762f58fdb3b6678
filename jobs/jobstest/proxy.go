package jobstest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// A Fault is what a [Proxy] does to its connections.
type Fault int

// The faults.
const (
	None     Fault = iota
	Latency        // all traffic is delayed
	Reset          // connections are reset, including new ones
	HalfOpen       // connections stay open but carry no traffic, even after the fault
)

// A Proxy is a TCP proxy that injects faults.
type Proxy struct {
	Addr string

	t        testing.TB
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex // guards fault, conns and dead of each link
	fault Fault
	conns map[*link]struct{}
}

// A link is one connection through a proxy.
type link struct {
	client, server net.Conn
	dead           bool // half open
}

// NewProxy starts a proxy in front of the server at target.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), t: t, target: target, listener: l, conns: make(map[*link]struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for c := range p.conns {
			c.close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

// Set sets the fault.
func (p *Proxy) Set(fault Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
	for c := range p.conns {
		switch fault {
		case Reset:
			c.close()
		case HalfOpen:
			c.dead = true
		case None, Latency:
		}
	}
}

func (c *link) close() {
	for _, conn := range []net.Conn{c.client, c.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // close with a reset (RST), not a FIN
		}
		conn.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	server, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		_ = client.(*net.TCPConn).SetLinger(0)
		client.Close()
		return
	}
	c := &link{client: client, server: server}
	p.mu.Lock()
	c.dead = p.fault == HalfOpen
	refuse := p.fault == Reset
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	if refuse {
		c.close()
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { p.copy(c, server, client) })
	p.copy(c, client, server)
	wg.Wait()
}

// copy forwards data from one side to the other, subject to the current fault.
func (p *Proxy) copy(c *link, to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		fault, dead := p.fault, c.dead
		p.mu.Unlock()
		if dead && err == nil {
			continue // the other side is not notified
		}
		if fault == Latency {
			time.Sleep(50 * time.Millisecond)
		}
		if n > 0 && !dead {
			if _, werr := to.Write(buffer[:n]); werr != nil {
				c.close()
				return
			}
		}
		if err != nil {
			c.close()
			return
		}
	}
}
