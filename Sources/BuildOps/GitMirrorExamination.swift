// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// The names of kept repositories that git cannot use, below a store's root. Those that a build uses now are passed over.
///
/// - Parameters:
///   - isDeep: reads every object; otherwise only whether each is there.
///   - removes: removes them too: what was fetched is fetched again when it is needed.
public func damagedGitMirrors(
    in root: RawPath,
    isDeep: Bool,
    removes: Bool,
    environment: [String: String]
) async throws -> [String] {
    let path = root.appending("git")
    let names = try await blocking { () -> [RawPath] in
        guard try statusIfPresent(at: workingDirectory, path)?.kind == .directory else { return [] }
        let directory = try open(path, [.directory])
        return try readDirectory(directory.raw).map(\.name).filter { $0.description.hasSuffix(".git") }.sorted()
    }
    if names.isEmpty { return [] }
    // Without git nobody can use them, nor tell what is wrong with them.
    guard let git = try? GitProgram(settings: "/dev/null", environment: environment) else { return [] }
    var damaged: [String] = []
    for name in names {
        let mirror = path.appending(name)
        let lock = try await blocking {
            try namedLock(path.appending(String(name.description.dropLast(".git".count)) + ".lock"))
        }
        guard let lock else { continue }
        do {
            let depth = isDeep ? "--full" : "--connectivity-only"
            try await git.run(["--git-dir", mirror.description, "fsck", "--no-dangling", "--no-progress", depth])
        } catch is GitProgram.Failure {
            damaged.append(name.description)
            if removes { try await blocking { try removeTree(mirror) } }
        }
        withExtendedLifetime(lock) {}
    }
    return damaged
}
