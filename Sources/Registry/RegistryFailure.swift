// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOHTTP1

/// What an answer that is not a success means to the caller.
extension RegistryError {
    static func unauthorized(_ endpoint: RegistryEndpoint, hasCredentials: Bool, subject: String?, said: String)
        -> RegistryError
    {
        let about = subject.map { " for \($0)" } ?? ""
        let login = "galley login \(endpoint.name)"
        if hasCredentials {
            return RegistryError(
                .unauthorized,
                "\(endpoint.name) refused the credentials\(about)\(said)",
                nextStep: "check the user's rights, or log in again: \(login)"
            )
        }
        let why = subject == nil ? "" : ": the repository does not exist or is private"
        return RegistryError(.unauthorized, "\(endpoint.name) demands a login\(about)\(why)\(said)", nextStep: login)
    }

    /// The error for a status; nil when it may pass and `setback` describes it.
    static func refusal(
        status: Int,
        headers: HTTPHeaders,
        body: [UInt8],
        subject: String,
        endpoint: RegistryEndpoint,
        hasCredentials: Bool
    ) -> any Error {
        let said = RegistryErrorBody(parsing: body)
        switch status {
        case 401:
            return unauthorized(endpoint, hasCredentials: hasCredentials, subject: subject, said: said.suffix)
        case 403:
            return RegistryError(
                .denied,
                "\(endpoint.name) denies access to \(subject)\(said.suffix)",
                nextStep: hasCredentials ? nil : "galley login \(endpoint.name)"
            )
        case 404: return notFound(subject, endpoint, said)
        case 429:
            let error = RegistryError(
                .rateLimited,
                "\(endpoint.name) limits the rate of requests for \(subject)\(said.suffix)",
                nextStep: hasCredentials
                    ? nil : "limits are often higher for known users: galley login \(endpoint.name)"
            )
            return Setback(error, retryAfter: RetryPolicy.retryAfter(headers.first(name: "Retry-After")))
        case 408, 500...:
            let error = RegistryError(.serverError, "\(endpoint.name) answered \(status) for \(subject)\(said.suffix)")
            return Setback(error, retryAfter: RetryPolicy.retryAfter(headers.first(name: "Retry-After")))
        default:
            let code: Code = said.has("UNSUPPORTED") || status == 405 ? .unsupported : .invalidResponse
            return RegistryError(code, "\(endpoint.name) answered \(status) for \(subject)\(said.suffix)")
        }
    }

    private static func notFound(_ subject: String, _ endpoint: RegistryEndpoint, _ said: RegistryErrorBody)
        -> RegistryError
    {
        if said.has("NAME_UNKNOWN") {
            return RegistryError(
                .repositoryNotFound,
                "\(subject): \(endpoint.name) has no such repository\(said.suffix)"
            )
        }
        if said.has("BLOB_UNKNOWN") || subject.contains("blob ") {
            return RegistryError(.blobNotFound, "\(subject): \(endpoint.name) does not have it\(said.suffix)")
        }
        return RegistryError(.manifestNotFound, "\(subject) not found\(said.suffix)")
    }
}
