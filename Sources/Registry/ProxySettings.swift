// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc

/// Which requests go through a proxy, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say, in upper or lower case.
public struct ProxySettings: Sendable, Hashable {
    /// A proxy as one of the variables names it.
    struct Server: Sendable, Hashable {
        enum Kind: Sendable, Hashable {
            case http
            case socks5
        }

        var kind: Kind
        var host: String
        var port: Int
        var user: String?
        var password: RedactedString?
    }

    private let http: Server?
    private let https: Server?
    private let exceptions: [Exception]

    /// No proxy at all.
    public static let none = ProxySettings(environment: [:])

    /// A variable that names nothing usable is kept out of the way: see ``problem(in:)``.
    public init(environment: [String: String]) {
        func value(_ name: String) -> String? {
            [name, name.lowercased()].lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
        }
        http = value("HTTP_PROXY").flatMap { Server($0) }
        https = value("HTTPS_PROXY").flatMap { Server($0) }
        exceptions = (value("NO_PROXY") ?? "").split(whereSeparator: { ",  ".contains($0) }).map {
            Exception(String($0))
        }
    }

    /// What to tell the user of a variable that cannot be understood; nil when all is well. The values may hold passwords
    /// and are not shown.
    public static func problem(in environment: [String: String]) -> String? {
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
            guard let value = environment[name], !value.isEmpty, Server(value) == nil else { continue }
            return "\(name) is not the address of an http or socks5 proxy"
        }
        return nil
    }

    /// The proxy for a request; nil asks the server itself.
    func server(for address: WebAddress) -> Server? {
        guard let server = address.scheme == .https ? https : http else { return nil }
        // As every client does: this machine is never asked for through another.
        if address.isLoopback { return nil }
        return exceptions.contains { $0.covers(host: address.host, port: address.port) } ? nil : server
    }
}

extension ProxySettings.Server {
    /// `[http://][user[:password]@]host[:port]`, or with `socks5://`. Nil for anything else.
    init?(_ text: String) {
        var rest = text[...]
        kind = .http
        var defaultPort = 80
        if let end = rest.firstRange(of: "://") {
            switch rest[..<end.lowerBound].lowercased() {
            case "http": break
            case "socks5", "socks5h":
                kind = .socks5
                defaultPort = 1080
            default: return nil
            }
            rest = rest[end.upperBound...]
        }
        rest = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        user = nil
        password = nil
        if let at = rest.lastIndex(of: "@") {
            let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            user = percentDecoded(String(parts[0]))
            password = parts.count > 1 ? RedactedString(percentDecoded(String(parts[1]))) : nil
            rest = rest[rest.index(after: at)...]
        }
        let parts = WebAddress.split(authority: String(rest))
        guard parts.isValid, !parts.host.isEmpty, parts.host.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            return nil
        }
        host = parts.host.hasPrefix("[") ? String(parts.host.dropFirst().dropLast()) : parts.host
        port = parts.port ?? defaultPort
    }
}

extension ProxySettings {
    /// An entry of NO_PROXY.
    private enum Exception: Sendable, Hashable {
        case everything
        case network(IPAddress, bits: Int, port: Int?)
        /// The name itself too, when `isExact` is false only what lies below it.
        case domain(String, includesItself: Bool, port: Int?)

        init(_ text: String) {
            if text == "*" {
                self = .everything
                return
            }
            if let slash = text.lastIndex(of: "/"), let address = IPAddress(String(text[..<slash])),
                let bits = Int(text[text.index(after: slash)...]), (0...(address.bytes.count * 8)).contains(bits)
            {
                self = .network(address, bits: bits, port: nil)
                return
            }
            if let address = IPAddress(text) {
                self = .network(address, bits: address.bytes.count * 8, port: nil)
                return
            }
            let parts = WebAddress.split(authority: text)
            let host = parts.isValid ? parts.host : text.lowercased()
            if let address = IPAddress(host) {
                self = .network(address, bits: address.bytes.count * 8, port: parts.port)
            } else if host.hasPrefix("*.") {
                self = .domain(String(host.dropFirst(2)), includesItself: false, port: parts.port)
            } else if host.hasPrefix(".") {
                self = .domain(String(host.dropFirst()), includesItself: false, port: parts.port)
            } else {
                self = .domain(host, includesItself: true, port: parts.port)
            }
        }

        func covers(host: String, port: Int) -> Bool {
            switch self {
            case .everything: return true
            case .network(let network, let bits, let only):
                guard only == nil || only == port, let address = IPAddress(host) else { return false }
                return network.shares(bits, with: address)
            case .domain(let name, let includesItself, let only):
                guard only == nil || only == port, !name.isEmpty else { return false }
                return (includesItself && host == name) || host.hasSuffix("." + name)
            }
        }
    }
}

/// An IPv4 or IPv6 address; brackets around the latter are allowed.
private struct IPAddress: Sendable, Hashable {
    let bytes: [UInt8]

    init?(_ text: String) {
        let plain = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
        var buffer = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, plain, &buffer) == 1 {
            bytes = Array(buffer[..<4])
        } else if inet_pton(AF_INET6, plain, &buffer) == 1 {
            bytes = buffer
        } else {
            return nil
        }
    }

    func shares(_ bits: Int, with other: IPAddress) -> Bool {
        guard other.bytes.count == bytes.count else { return false }
        for index in bytes.indices {
            let left = bits - index * 8
            if left <= 0 { return true }
            let mask = left >= 8 ? UInt8.max : ~(UInt8.max >> UInt8(left))
            if bytes[index] & mask != other.bytes[index] & mask { return false }
        }
        return true
    }
}

/// Replaces `%XX`; what is no such escape stays.
func percentDecoded(_ text: String) -> String {
    let bytes = Array(text.utf8)
    var out: [UInt8] = []
    var index = 0
    while index < bytes.count {
        if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
            let value = UInt8(String(decoding: bytes[(index + 1)...(index + 2)], as: UTF8.self), radix: 16)
        {
            out.append(value)
            index += 3
        } else {
            out.append(bytes[index])
            index += 1
        }
    }
    return String(decoding: out, as: UTF8.self)
}
