package cli

// reasonCatalogue returns all reasons, stages and findings.
func reasonCatalogue() []reasonEntry {
	var list []reasonEntry
	for _, part := range []struct {
		kind string
		rows [][3]string
	}{{kindReason, reasonRows}, {kindStage, stageRows}, {kindFinding, findingRows}} {
		for _, r := range part.rows {
			list = append(list, reasonEntry{Kind: part.kind, Code: r[0], Text: r[1], Remedy: r[2]})
		}
	}
	return list
}

var (
	reasonRows = [][3]string{
		{"unknown", "Nothing tells why.", "See the log at level debug, and that of the other node."},
		{"shutting-down", "The node that decided it stops.",
			"None; it is dialed again, and answers once it is back."},
		{"requested", "An operator or a service asked for it: disconnect, or a dial that was given up.",
			"None. Ban a peer that should stay away; make one persistent that should stay."},
		{"too-many-peers", "The node has no slot for another peer; limit names the key.",
			"If it is ours, raise that key (peers.max_inbound, peers.guests, limits.connections_per_ip). If it is " +
				"the " +
				"remote's, wait, or ask its operator to name this node in peers.unconditional."},
		{"duplicate", "The two nodes have another link, which goes on.",
			"None. If it repeats, see whether two nodes run with one key (twin)."},
		{"banned", "The node id, the IP address or its network is banned.",
			"If it is ours, bans lists it and unban lifts it. Bans for misdeeds end by themselves."},
		{"wrong-network", "The two nodes name different networks.",
			"Compare network in both configurations; for a CometBFT network it is the chain id. The peer is not " +
				"dialed for six hours, unless clear ends that."},
		{"wrong-id", "Another key answers at the address than the one it names.",
			"The address is out of date, or the remote has a new key: ask its operator for the id (switchyard id)."},
		{"self", "The node reached itself.",
			"None: the address is dropped. If it is persistent, take it out of the list."},
		{"incompatible", "The two nodes have no wire, security, muxer or channel in common.",
			"Compare [stack] in both configurations, and the services that are turned on; dial shows what the remote " +
				"offers."},
		{"protocol-error", "The remote did not keep to the protocol.",
			"See whether a node of another kind or another version answers there."},
		{"auth-failed", "The secure handshake failed: the remote did not prove its key.",
			"See whether something in between changes the traffic, or another protocol answers there."},
		{"invalid-info", "The remote's node info breaks the rules: too long, without channels, or of another version.",
			"See the text for the field; that node needs a newer or a fixed version."},
		{"timeout", "A deadline passed: no answer, or a handshake that took longer than limits.handshake_timeout.",
			"See whether the host is up and a firewall drops packets; over slow links raise limits.handshake_timeout."},
		{"idle", "The remote did not answer keep-alives.",
			"None: it is dialed again. If it repeats, the network between loses packets, or the remote hangs."},
		{"too-many-handshakes", "A budget of handshakes is spent: of all, or of one IP address; limit names the key.",
			"It passes within seconds. Behind a proxy or a NAT that many share, raise limits.handshakes_per_ip and " +
				"limits.attempts_per_ip, and name it in peers.shared_networks."},
		{"filtered", "A rule refused it: peers.allow_networks, peers.allow_guests, or an application's filter.",
			"If it is ours, add the id or the network to that key."},
		{"evicted", "Another peer took the slot.",
			"None. Make peers persistent or unconditional that must stay; raise peers.max_inbound for more."},
		{"message-too-big", "A message was longer than its channel allows.",
			"Both nodes need the same limits: compare the services and their versions."},
		{"overflow", "The peer sent more than the service took, and its channel cuts such peers off.",
			"See slow-service; raise limits.message_memory if that is spent."},
		{"misbehaved", "A service reported the peer for what it did.",
			"See the text. If it repeats with honest peers, compare the versions."},
		{"transport", "The connection failed: refused, reset, no route.",
			"See whether a node runs and listens there, and whether a firewall lets it through; dial tries once."},
		{"remote-closed", "The remote hung up without a reason, as CometBFT nodes do when they refuse.",
			"It is full, has banned this node, has a link with it already, or is of another network: see its log."},
		{"wrong-channel", "A message came for a channel that was not offered.",
			"See whether the peer has another version."},
		{"inquiry-done", "The visit was only to ask: a seed has answered, a crawler has what it wanted.", "None."},
		{"moved", "A better link of the same peer, such as QUIC, has taken over without a gap.", "None."},
		{"no-signature", "Our own key did not sign: its signer is away, hangs, or refuses.",
			"Start the signer, and see its log; identity.signer names it."},
	}
	stageRows = [][3]string{
		{"transport", "No connection came about, or it was refused before a byte was read.",
			"See the address, the port, and firewalls; ports of the remote may be closed."},
		{"security", "The keys were not proven: another protocol, another node than the address names, or a refusal.",
			"Compare the id in the address with switchyard id at the remote."},
		{"muxer", "The two ends did not agree on a muxer.", "Compare stack.muxers."},
		{"info", "The ends did not accept each other after they said what they are: network, versions, channels, " +
			"slots.",
			"See the reason beside the stage."},
	}
	findingRows = [][3]string{
		{"well", "Nothing is wrong.", "None."},
		{"starting", "The node has just started and looks for peers.", "Wait a minute."},
		{"alone", "The node has no peers.",
			"See the failed dials for the reason. Without known addresses, name one in peers.bootstrap or " +
				"peers.persistent, or turn a source on."},
		{"few-outbound", "Most outbound slots are empty though many peers are known.",
			"See the failed dials: a firewall stops outgoing connections, or the addresses are out of date."},
		{"no-inbound", "Nobody dials this node.",
			"Open or forward the ports of listen.addresses, and name the public address in listen.external."},
		{"unreachable-quic", "Links cannot move to QUIC: UDP is blocked somewhere.",
			"Open UDP for the port of the address that ends in /quic-v1, here and in the firewall."},
		{"persistent-down", "A persistent peer has no link.",
			"See whether it runs and its address is right; it is dialed again by itself."},
		{"banned-persistent", "A persistent peer is banned, so it is not dialed.", "Lift the ban with unban."},
		{"twin", "Another node uses this node's key, so peers see one of the two at a time.",
			"Give each node a key of its own; copy config.toml, never node_key.json."},
		{"clock", "The clock jumped, or the machine slept.", "Let NTP set the clock; see that the machine does " +
			"not sleep."},
		{"store-failing", "The peer store cannot write to the disk.",
			"See whether the disk is full or broken; until then bans are at risk."},
		{"many-forgotten", "The node forgot many peers within a minute, since none of them answered.",
			"See whether the machine lost its network for long."},
		{"drops", "Messages were dropped at full queues.",
			"A service or a peer is too slow: see which channel it is (the page's traffic, /metrics)."},
		{"near-limit", "A budget is nearly spent: inbound slots, or memory of messages.",
			"That is normal for a public node. Raise peers.max_inbound or limits.message_memory to take more."},
		{"slow-service", "Links were paused because a service takes its messages too slowly.",
			"See which channel's queue is full."},
		{"descriptors", "Few file descriptors are left.",
			"Raise the limit (LimitNOFILE, ulimit -n), or lower peers.max_inbound."},
		{"other-network", "Nodes of other networks connect to this one.",
			"If one of them is yours, give both the same network."},
		{"external-unresolved", "The node's own name in listen.external does not resolve, so peers cannot dial it.",
			"Mend the name, or listen.external."},
	}
)
