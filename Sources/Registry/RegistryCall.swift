// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOHTTP1

/// One request of the distribution API, before it is known which server answers it.
struct RegistryCall: Sendable {
    enum Target: Sendable {
        /// Below the repository, with an optional query: `manifests/latest`.
        case repository(String, query: [(String, String)] = [])
        /// Where a registry told us to go on, such as an upload.
        case address(WebAddress)
        /// `/v2/` itself.
        case base
    }

    var method: HTTPMethod
    var target: Target
    var repository: String
    var scope: AuthScope
    var headers: HTTPHeaders = [:]
    var body: HTTPExchange.Body = .none
    /// What the call is about, for messages: `docker.io/library/alpine:latest`.
    var subject: String
    /// Time for the whole call, where its body is small; nil takes the retry policy's.
    var timeout: Duration?

    func address(at base: WebAddress, _ endpoint: RegistryEndpoint) -> WebAddress {
        switch target {
        case .address(let address): return address
        case .base: return base
        case .repository(let rest, let query):
            var address = base
            address.path += "\(endpoint.path(of: repository))/\(rest)"
            for (name, value) in query { address = address.adding(name, value) }
            return address
        }
    }
}

/// An answer whose body has been read.
struct RegistryReply: Sendable {
    let status: Int
    let headers: HTTPHeaders
    /// Nil when the body was longer than the limit.
    let body: [UInt8]?
    /// Where it came from, which relative Locations refer to.
    let address: WebAddress

    func header(_ name: String) -> String? { headers.first(name: name) }
}
