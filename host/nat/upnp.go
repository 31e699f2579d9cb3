package nat

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/soap"
)

const (
	ssdpGroup  = "239.255.255.250:1900"
	maxUPnP    = 256 << 10 // bytes of a description or an answer
	maxAnswers = 64        // answers to a search that are looked at
	searchWait = 2 * time.Second
)

// services are those of UPnP's Internet gateways that map ports, the newest first.
var services = [...]string{"urn:schemas-upnp-org:service:WANIPConnection:2",
	"urn:schemas-upnp-org:service:WANIPConnection:1", "urn:schemas-upnp-org:service:WANPPPConnection:1"}

// upnp maps ports by UPnP IGD. Everybody on a local network may answer its search, so it believes only the gateway, and
// talks with no other IP.
type upnp struct {
	gateway netip.Addr
	group   string // where to search; "" means ssdpGroup
	service *goupnp.ServiceClient
	urn     string
	local   netip.Addr // our end of the connection to the gateway
}

func (u *upnp) name() string { return "upnp" }

// mapPort implements mapper.
func (u *upnp) mapPort(ctx context.Context, at port, wish uint16, life time.Duration) (mapping, error) {
	if u.service == nil {
		if life == 0 {
			return mapping{}, nil
		}
		if err := u.find(ctx); err != nil {
			return mapping{}, fmt.Errorf("UPnP: %w", short(err))
		}
	}
	m, err := u.request(ctx, at, wish, life)
	if err != nil {
		u.service = nil // it may have another address next time
		return m, fmt.Errorf("UPnP: %w", short(err))
	}
	return m, nil
}

// Faults of AddPortMapping that leave something to try, and how often.
const (
	conflict      = 718 // another device has the port
	onlyPermanent = 725
	maxPorts      = 4
)

// faultOf returns the code of an error that the gateway reports; 0 for another one.
func faultOf(err error) int {
	if fault, ok := errors.AsType[*soap.SOAPFaultError](err); ok {
		return fault.Detail.UPnPError.Errorcode
	}
	return 0
}

// short keeps what a gateway says short enough for a log.
func short(err error) error {
	if fault, ok := errors.AsType[*soap.SOAPFaultError](err); ok {
		return fmt.Errorf("the gateway answers %d %.80q", faultOf(err), fault.Detail.UPnPError.ErrorDescription)
	}
	if text := err.Error(); len(text) > 300 {
		return errors.New(text[:300] + "...")
	}
	return err
}

// The names and the order of the fields are those of the actions of WANIPConnection.
type (
	addMapping struct {
		NewRemoteHost, NewExternalPort, NewProtocol, NewInternalPort, NewInternalClient, NewEnabled,
		NewPortMappingDescription, NewLeaseDuration string
	}
	deleteMapping   struct{ NewRemoteHost, NewExternalPort, NewProtocol string }
	externalAddress struct{ NewExternalIPAddress string }
)

func (u *upnp) request(ctx context.Context, at port, wish uint16, life time.Duration) (m mapping, err error) {
	protocol := "TCP"
	if at.udp {
		protocol = "UDP"
	}
	if wish == 0 {
		wish = at.number
	}
	outside := strconv.Itoa(int(wish))
	client := u.service.SOAPClient
	if life == 0 {
		return m, client.PerformActionCtx(ctx, u.urn, "DeletePortMapping", &deleteMapping{"", outside, protocol}, nil)
	}
	add := &addMapping{NewExternalPort: outside, NewProtocol: protocol,
		NewInternalPort: strconv.Itoa(int(at.number)), NewInternalClient: u.local.String(), NewEnabled: "1",
		NewPortMappingDescription: "switchyard", NewLeaseDuration: strconv.Itoa(int(life / time.Second))}
	err = client.PerformActionCtx(ctx, u.urn, "AddPortMapping", add, nil)
	for range maxPorts {
		switch faultOf(err) {
		case onlyPermanent:
			add.NewLeaseDuration = "0" // we delete it at the end
		case conflict:
			wish = uint16(1024 + rand.N(64512))
			add.NewExternalPort = strconv.Itoa(int(wish))
		default:
			continue
		}
		err = client.PerformActionCtx(ctx, u.urn, "AddPortMapping", add, nil)
	}
	if err != nil {
		return m, err
	}
	external, err := u.external(ctx)
	if err != nil {
		return m, err
	}
	return mapping{external: netip.AddrPortFrom(external, wish), life: life}, nil
}

// external returns the address outside.
func (u *upnp) external(ctx context.Context) (netip.Addr, error) {
	var ip externalAddress
	if err := u.service.SOAPClient.PerformActionCtx(ctx, u.urn, "GetExternalIPAddress", nil, &ip); err != nil {
		return netip.Addr{}, err
	}
	external, err := netip.ParseAddr(ip.NewExternalIPAddress)
	if err != nil {
		return external, fmt.Errorf("the external address %.60q is none", ip.NewExternalIPAddress)
	}
	return external, nil
}

// client talks HTTP with the gateway alone, and reads no more than maxUPnP bytes of an answer.
func (u *upnp) client() http.Client {
	dialer := &net.Dialer{}
	return http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: bounded{&http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				to, err := netip.ParseAddrPort(address)
				if err != nil || to.Addr().Unmap() != u.gateway {
					return nil, fmt.Errorf("%.80q is not the gateway %s", address, u.gateway)
				}
				conn, err := dialer.DialContext(ctx, network, address)
				if err == nil {
					if local, ok := conn.LocalAddr().(*net.TCPAddr); ok {
						u.local = local.AddrPort().Addr().Unmap()
					}
				}
				return conn, err
			}}},
	}
}

// bounded cuts long answers off.
type bounded struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxUPnP), resp.Body}
	}
	return resp, err
}

// find searches the gateway's description and in it the service that maps ports.
func (u *upnp) find(ctx context.Context) error {
	where, err := u.search(ctx)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return err
	}
	client := u.client()
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %.60q", where, resp.Status)
	}
	root := new(goupnp.RootDevice)
	decoder := xml.NewDecoder(resp.Body)
	decoder.DefaultSpace = goupnp.DeviceXMLNamespace
	if err := decoder.Decode(root); err != nil {
		return fmt.Errorf("the description of the gateway: %w", err)
	}
	root.SetURLBase(where) // a URLBase of the description is not needed, and could lead elsewhere
	for _, urn := range services {
		if clients, err := goupnp.NewServiceClientsFromRootDevice(root, where, urn); err == nil && len(clients) > 0 {
			u.service, u.urn = &clients[0], urn
			u.service.SOAPClient.HTTPClient = client
			return nil
		}
	}
	return errors.New("the gateway has no service that maps ports")
}

// search returns where the gateway's description is: it asks all devices of the local network (SSDP), and takes the
// answer of the gateway alone, if that leads to the gateway.
func (u *upnp) search(ctx context.Context) (*url.URL, error) {
	group := u.group
	if group == "" {
		group = ssdpGroup
	}
	to, err := net.ResolveUDPAddr("udp4", group)
	if err != nil {
		return nil, err
	}
	local, err := localFor(u.gateway)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: local.AsSlice()})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	_ = conn.SetReadDeadline(time.Now().Add(searchWait))
	for _, target := range services {
		message := "M-SEARCH * HTTP/1.1\r\nHOST: " + ssdpGroup + "\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: " +
			target + "\r\n\r\n"
		if _, err := conn.WriteToUDP([]byte(message), to); err != nil {
			return nil, err
		}
	}
	buf := make([]byte, 2048)
	for range maxAnswers {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			break
		}
		if from.Addr().Unmap() != u.gateway {
			continue
		}
		if where := location(buf[:n], u.gateway); where != nil {
			return where, nil
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, errors.New("the gateway does not answer")
}

// location reads an answer to a search; nil if it does not lead to the gateway.
func location(answer []byte, gateway netip.Addr) *url.URL {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if err != nil {
		return nil
	}
	_ = resp.Body.Close()
	where, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || where.Scheme != "http" {
		return nil
	}
	if ip, err := netip.ParseAddr(where.Hostname()); err != nil || ip.Unmap() != gateway {
		return nil
	}
	return where
}
