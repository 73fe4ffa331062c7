// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem
public import Registry
import TOMLKit

/// Where Galley keeps its things and how it talks to registries.
public struct EngineSettings: Sendable {
    /// Absolute path of the root directory.
    public var root: RawPath
    public var registries: RegistryHosts
    /// Variables of this process that count: those of proxies, and what programs that are started need.
    public var environment: [String: String]
    public var space = SpaceSettings()

    public init(root: RawPath, registries: RegistryHosts = RegistryHosts(), environment: [String: String] = [:]) {
        self.root = root
        self.registries = registries
        self.environment = environment
    }

    /// Finds both as the command line and the environment tell.
    ///
    /// - Parameters:
    ///   - root: `--root`; else `GALLEY_ROOT`, else `/var/lib/galley` for root and `$XDG_DATA_HOME/galley` for others.
    ///   - configuration: `--config`, which must exist; else `$XDG_CONFIG_HOME/galley/galley.toml` or
    ///     `/etc/galley/galley.toml`, the first that exists.
    public init(root: String?, configuration: String?, environment: [String: String]) throws {
        let home = environment["HOME"] ?? "/"
        func nonEmpty(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        let isRoot = ProcessNamespaces.current.startedByRoot
        let ordinary = (nonEmpty("XDG_DATA_HOME") ?? home + "/.local/share") + "/galley"
        let path = root ?? nonEmpty("GALLEY_ROOT") ?? (isRoot ? "/var/lib/galley" : ordinary)
        self.root = RawPath(try absolutePath(path))
        registries = RegistryHosts()
        self.environment = environment
        if let configuration {
            try read(configuration, required: true)
        } else {
            let user = (nonEmpty("XDG_CONFIG_HOME") ?? home + "/.config") + "/galley/galley.toml"
            if try !read(user, required: false) { try read("/etc/galley/galley.toml", required: false) }
        }
    }

    @discardableResult
    private mutating func read(_ path: String, required: Bool) throws -> Bool {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try readFile(RawPath(path), limit: 1 << 20)
        } catch {
            if error.isNotFound, !required { return false }
            throw BuilderError(.configuration, "cannot read the configuration \(path): \(error.reason)")
        }
        let table: TOMLTable
        do {
            table = try TOMLTable(string: String(decoding: bytes, as: UTF8.self))
        } catch {
            throw BuilderError(
                .configuration,
                "\(path): \(error)",
                nextStep: "see the example in docs/configuration.md"
            )
        }
        registries = try Self.registries(table, path)
        space = try SpaceSettings(reading: table, path)
        return true
    }

    /// Reads the `[registry."host"]` tables of a configuration in the shape of buildkitd.toml. Tables and keys that
    /// belong to other parts of buildkitd are passed over, so that one file can serve both.
    private static func registries(_ table: TOMLTable, _ path: String) throws -> RegistryHosts {
        var hosts: [String: RegistryHosts.Host] = [:]
        for (name, value) in table["registry"]?.table ?? TOMLTable() {
            guard let entry = value.table else {
                throw BuilderError(.configuration, "\(path): registry.\"\(name)\" must be a table")
            }
            var host = RegistryHosts.Host()
            for (key, value) in entry {
                func wrong(_ kind: String) -> BuilderError {
                    BuilderError(.configuration, "\(path): \(key) of registry.\"\(name)\" must be \(kind)")
                }
                switch key {
                case "mirrors":
                    guard let list = strings(value) else { throw wrong("a list of strings") }
                    host.mirrors = list
                case "http":
                    guard let flag = value.bool else { throw wrong("true or false") }
                    host.http = flag
                case "insecure":
                    guard let flag = value.bool else { throw wrong("true or false") }
                    host.insecure = flag
                case "ca":
                    guard let list = strings(value) else { throw wrong("a list of strings") }
                    host.ca = list
                case "keypair":
                    guard let list = value.array else { throw wrong("a list of tables with key and cert") }
                    host.keypair = try list.map { pair in
                        guard let key = pair.table?["key"]?.string, let certificate = pair.table?["cert"]?.string else {
                            throw wrong("a list of tables with key and cert")
                        }
                        return RegistryHosts.KeyPair(certificate: certificate, key: key)
                    }
                default:
                    throw BuilderError(
                        .configuration,
                        "\(path): registry.\"\(name)\" has the unknown key \"\(key)\"",
                        nextStep: "known keys: mirrors, http, insecure, ca, keypair"
                    )
                }
            }
            hosts[name] = host
        }
        return RegistryHosts(hosts)
    }

    private static func strings(_ value: any TOMLValueConvertible) -> [String]? {
        guard let array = value.array else { return nil }
        let strings = array.compactMap(\.string)
        return strings.count == array.count ? strings : nil
    }
}

/// `path` as an absolute one, from the working directory.
func absolutePath(_ path: String) throws -> String {
    if path.hasPrefix("/") { return path }
    let here = try readLink(RawPath("/proc/self/cwd")).description
    return path.isEmpty || path == "." ? here : here + "/" + path
}
