// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

/// The texts of /etc/resolv.conf and /etc/hosts.
enum NetworkFiles {
    /// The host's resolvers. A resolver on loopback cannot be reached from another network, so it is left out there.
    static func resolvConf(host: String, network: ProcessSpec.Network) -> String {
        guard network != .host else { return host }
        let kept = host.split(separator: "\n").filter { line in
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.first == "nameserver", words.count > 1 else { return true }
            return !words[1].hasPrefix("127.") && words[1] != "::1"
        }
        return kept.map { $0 + "\n" }.joined()
    }

    static func hosts(hostname: String, extra: [ProcessSpec.HostEntry]) throws(ExecutorError) -> String {
        var text = "127.0.0.1\tlocalhost\(hostname.isEmpty ? "" : " " + hostname)\n"
        text += "::1\tlocalhost ip6-localhost ip6-loopback\n"
        for entry in extra {
            // The container shares the host's network, so the host is at its loopback address.
            let address = entry.address == "host-gateway" ? "127.0.0.1" : entry.address
            guard isAddress(address) else {
                throw ExecutorError(.invalidSpec, "invalid IP address in add-host: \"\(entry.address)\"")
            }
            let valid = entry.name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") }
            guard valid, !entry.name.isEmpty else {
                throw ExecutorError(.invalidSpec, "invalid host name in add-host: \"\(entry.name)\"")
            }
            text += "\(address)\t\(entry.name)\n"
        }
        return text
    }

    private static func isAddress(_ text: String) -> Bool {
        var buffer = in6_addr()
        return inet_pton(AF_INET, text, &buffer) == 1 || inet_pton(AF_INET6, text, &buffer) == 1
    }
}
