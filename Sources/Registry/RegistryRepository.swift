// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// One repository of a registry: where its blobs are read from and written to.
///
/// Reads ask the host's mirrors in order, then the host itself; writes go to the host.
public struct RegistryRepository: Sendable {
    let session: RegistrySession
    let domain: String
    let path: String
    var onProgress: (@Sendable (_ transferredBytes: Int64) -> Void)?

    init(session: RegistrySession, reference: Reference) {
        self.session = session
        domain = reference.domain
        path = reference.path
    }

    /// A copy for one transfer, which calls `report` with the bytes transferred so far after every chunk, on the
    /// transfer's own task. An upload that starts again counts from zero again.
    public func reportingProgress(_ report: @escaping @Sendable (_ transferredBytes: Int64) -> Void)
        -> RegistryRepository
    {
        var copy = self
        copy.onProgress = report
        return copy
    }

    var name: String { "\(domain)/\(path)" }
    var origin: RegistryEndpoint { RegistryEndpoint(domain: domain) }

    /// Who is asked for reads, in order.
    var readEndpoints: [RegistryEndpoint] {
        session.hosts[origin.name].mirrors.map { RegistryEndpoint(mirror: $0) }.filter { !$0.authority.isEmpty } + [
            origin
        ]
    }

    /// Tries each endpoint in turn; the origin's error is the one that counts.
    func reading<T>(_ body: (RegistryEndpoint) async throws -> T) async throws -> T {
        for mirror in readEndpoints.dropLast() {
            do {
                return try await body(mirror)
            } catch is RegistryError {
                continue
            }
        }
        return try await body(origin)
    }

    func pullScope(_ endpoint: RegistryEndpoint) -> AuthScope {
        AuthScope(repository: endpoint.path(of: path), "pull")
    }

    var pushScope: AuthScope { AuthScope(repository: path, "pull", "push") }
}
