// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Testing

extension Trait where Self == TimeLimitTrait {
    /// Only ends what hangs. All tests of a process begin at once and share its threads: on a busy machine some wait
    /// for minutes until it is their turn.
    static var endsHangs: Self { .timeLimit(.minutes(5)) }
}
