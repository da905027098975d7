//! What people see of a connection.

use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};

use super::{
    Context, Error,
    connection::AnyConnection,
    connections::{Checked, Described},
    report::patch,
};
use crate::{
    api::{
        annotations,
        condition::{self, ConditionStatus, ConditionType, Finding, Reason},
        connection::ConnectionStatus,
    },
    cluster::{ClusterError, answer},
    ledger::record::Ledger,
};

/// Writes the status of a connection, if it differs from what is there.
pub(super) async fn write_if_changed<K: AnyConnection>(
    connection: &K,
    described: &Described,
    checked: &Checked,
    ctx: &Context,
) -> Result<(), Error> {
    let shown = ctx
        .connection_status
        .latest(connection.meta(), connection.shown());
    let before = shown.clone().unwrap_or_default();
    let status = build_status(connection, described, checked, &before, ctx);
    if shown.as_ref() == Some(&status) {
        return Ok(());
    }
    let body = Patch::Merge(patch(&status, Some(&before)));
    let name = connection.name_any();
    let api = connection.api(ctx);
    match answer(api.patch_status(&name, &PatchParams::default(), &body)).await {
        Ok(stored) => {
            ctx.connection_status.keep(stored.meta(), status);
            Ok(())
        }
        Err(ClusterError::NotFound) => Ok(()),
        Err(source) => Err(Error::WriteStatus {
            owner: described.key().to_string(),
            source,
        }),
    }
}

fn build_status<K: AnyConnection>(
    connection: &K,
    described: &Described,
    checked: &Checked,
    before: &ConnectionStatus,
    ctx: &Context,
) -> ConnectionStatus {
    let generation = connection.meta().generation;
    let (ready, reason, message) = match &checked.obstacle {
        None => (
            true,
            Reason::Authenticated,
            "an authenticated call succeeded",
        ),
        Some(obstacle) => (false, obstacle.reason, obstacle.message.as_str()),
    };
    let stalled = matches!(
        reason,
        Reason::SpecInvalid
            | Reason::BreakerOpen
            | Reason::CapabilityMissing
            | Reason::ProviderRejected
            | Reason::NamespaceNotGranted
    );
    let mut conditions = before.conditions.clone();
    let all = [
        (ConditionType::Ready, ready, true),
        (ConditionType::Reconciling, !ready && !stalled, false),
        (ConditionType::Stalled, !ready && stalled, false),
    ];
    for (about, holds, always) in all {
        let status = if holds {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        };
        let finding = Finding {
            about,
            status,
            reason,
            message: message.to_owned(),
            generation,
        };
        if holds || always {
            condition::set(&mut conditions, finding, ctx.clock.now());
        } else {
            condition::clear(&mut conditions, about);
        }
    }
    let place = described.key().to_string();
    let here = |ledger: &Ledger| in_namespace(ledger, described);
    let count = |ledger: &Ledger, doomed: bool| {
        let all = ledger
            .recorded()
            .filter(|origin| origin.place.connection == place)
            .count();
        let gone = ledger
            .deleting
            .iter()
            .filter(|d| d.origin.place.connection == place)
            .count();
        if here(ledger) {
            if doomed { gone } else { all - gone }
        } else {
            0
        }
    };
    let sum = |doomed| {
        let total: usize = ctx
            .ledgers
            .map(|ledger| count(ledger, doomed))
            .into_iter()
            .sum();
        i64::try_from(total).ok()
    };
    let pending = sum(true);
    let count = u64::try_from(pending.unwrap_or_default()).unwrap_or_default();
    ctx.metrics
        .pending_revocations(&described.full_name(), count);
    ConnectionStatus {
        conditions,
        observed_generation: generation,
        provider: Some("errova".to_owned()),
        url: Some(described.settings.url().to_owned()),
        credentials: sum(false),
        pending_revocations: pending,
        last_handled_reconcile_at: connection
            .annotations()
            .get(annotations::RECONCILE_REQUESTED_AT)
            .cloned(),
    }
}

fn in_namespace(ledger: &Ledger, described: &Described) -> bool {
    described
        .namespace
        .as_ref()
        .is_none_or(|namespace| *namespace == ledger.owner.namespace)
}
