// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The ports of an EXPOSE word: `80`, `80/udp`, `7000-7010/tcp`, and with `ip:host:` in front, which is ignored.
enum PortSpec {
    /// One `port/protocol` a port.
    static func parse(_ word: String) throws(LoweringFailure) -> [String] {
        let parts = word.split(separator: ":", omittingEmptySubsequences: false)
        let container = parts.last ?? ""
        let host = parts.count > 1 ? parts[parts.count - 2] : ""
        let pieces = container.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let port = pieces.first, !port.isEmpty else {
            throw LoweringFailure("invalid port: \"\(word)\": no port specified")
        }
        let proto = pieces.count > 1 && !pieces[1].isEmpty ? pieces[1].lowercased() : "tcp"
        guard ["tcp", "udp", "sctp"].contains(proto) else {
            throw LoweringFailure("invalid port: \"\(word)\": invalid proto: \(pieces[1])")
        }
        guard let range = range(port) else { throw LoweringFailure("invalid containerPort: \(port)") }
        if !host.isEmpty {
            guard let hostRange = self.range(host) else { throw LoweringFailure("invalid hostPort: \(host)") }
            guard range.count == 1 || hostRange.count == range.count else {
                throw LoweringFailure(
                    "invalid ranges specified for container and host Ports: \(port) and \(host)"
                )
            }
        }
        let address = parts.dropLast(2).joined(separator: ":")
        guard isAddress(address) else { throw LoweringFailure("invalid IP address: \(address)") }
        return range.map { "\($0)/\(proto)" }
    }

    private static func range(_ text: Substring) -> ClosedRange<Int>? {
        let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = ends.first, let last = ends.last, let start = number(first), let end = number(last),
            start <= end
        else { return nil }
        return start...end
    }

    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let value = Int(text),
            value <= 65535
        else { return nil }
        return value
    }

    /// Only what an address can be made of; nothing is done with it.
    private static func isAddress(_ text: String) -> Bool {
        if text.isEmpty { return true }
        if text.contains(":") {
            let inner = text.hasPrefix("[") && text.hasSuffix("]") ? text.dropFirst().dropLast() : text[...]
            return !inner.isEmpty && inner.allSatisfy { $0.isHexDigit || $0 == ":" || $0 == "." }
        }
        let bytes = text.split(separator: ".", omittingEmptySubsequences: false)
        return bytes.count == 4 && bytes.allSatisfy { number($0).map { $0 <= 255 } ?? false }
    }
}
