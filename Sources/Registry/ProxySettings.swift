// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc

/// Which requests go through a proxy, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say, in upper or lower case.
///
/// An http proxy is asked to connect (CONNECT), for plain http as for https.
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

    private enum Choice: Sendable, Hashable {
        case direct
        case server(Server)
        /// The variable's value is no address of a proxy. It may hold a password and is not kept.
        case unusable(variable: String)
    }

    private let http: Choice
    private let https: Choice
    private let exceptions: [Exception]

    /// No proxy at all.
    public static let none = ProxySettings(environment: [:])

    /// A variable that names no proxy fails the requests that it is for.
    public init(environment: [String: String]) {
        func value(_ name: String) -> (name: String, text: String)? {
            for name in [name, name.lowercased()] {
                if let text = environment[name], !text.isEmpty { return (name, text) }
            }
            return nil
        }
        func choice(_ name: String) -> Choice {
            guard let found = value(name) else { return .direct }
            return Server(found.text).map(Choice.server) ?? .unusable(variable: found.name)
        }
        http = choice("HTTP_PROXY")
        https = choice("HTTPS_PROXY")
        exceptions = (value("NO_PROXY")?.text ?? "").split(whereSeparator: { ",  ".contains($0) }).map {
            Exception(String($0))
        }
    }

    /// The proxy for a request; nil asks the server itself.
    func server(for address: WebAddress) throws(RegistryError) -> Server? {
        let choice = address.scheme == .https ? https : http
        // As every client does: this machine is never asked for through another.
        if choice == .direct || address.isLoopback { return nil }
        if exceptions.contains(where: { $0.covers(host: address.host, port: address.port) }) { return nil }
        switch choice {
        case .direct: return nil
        case .server(let server): return server
        case .unusable(let variable):
            throw RegistryError(
                .unreachable,
                "\(variable) is not the address of an http or socks5 proxy",
                nextStep: "use the form http://[user:password@]host:port, or unset the variable"
            )
        }
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
