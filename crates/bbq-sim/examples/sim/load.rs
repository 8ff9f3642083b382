//! One simulated run: a cluster with faults, a load on it, and the invariants checked over both.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bbq_core::codegen::*;
use bbq_sim::{Faults, Random, Settings, Sim};

use super::ledger::{ADD, COMPLAINTS, EXPLODE, HEARD, LEDGER, LedgerGlue, LedgerRef, NAP, NOTE, RELAY};

/// Entities that the load talks to.
const ENTITIES: u64 = 8;
/// Drivers, spread over the nodes.
const DRIVERS: u64 = 6;
/// Calls of each.
const CALLS: u64 = 40;

/// What one run found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) trace: u64,
    pub(crate) events: u64,
    pub(crate) ok: u64,
    pub(crate) failed: BTreeMap<u32, u64>,
    pub(crate) broken: Vec<String>,
}

/// What is known of the additions to one entity.
#[derive(Default, Clone, Copy, Debug)]
struct Sum {
    /// Acknowledged: must be there.
    sure: u64,
    /// Failed in a way that leaves open whether it happened.
    open: u64,
}

#[derive(Default)]
struct Book {
    sums: BTreeMap<u64, Sum>,
    started: u64,
    ended: u64,
    ok: u64,
    failed: BTreeMap<u32, u64>,
}

impl Book {
    fn end(&mut self, adds_to: Option<u64>, result: &Result<u64>) {
        self.ended += 1;
        let code = result.as_ref().err().map(|error| error.code);
        match code {
            None => self.ok += 1,
            Some(code) => *self.failed.entry(code.0).or_default() += 1,
        }
        if let Some(entity) = adds_to {
            let sum = self.sums.entry(entity).or_default();
            match code {
                None => sum.sure += 1,
                Some(Code::NOT_SENT | Code::BUSY | Code::DEADLOCK) => {}
                Some(_) => sum.open += 1,
            }
        }
    }
}

/// Runs one seed.
pub(crate) fn run(seed: u64) -> Report {
    let mut dice = Random::new(seed ^ 0x5eed);
    COMPLAINTS.with(|all| all.borrow_mut().clear());
    HEARD.with(|heard| heard.borrow_mut().clear());
    let mut maybe = |low: u64, high: u64| {
        (!dice.one_in(3)).then(|| dice.between(Duration::from_millis(low), Duration::from_millis(high)))
    };
    let (cut, kill, store) = (maybe(100, 3000), maybe(1000, 10_000), maybe(100, 3000));
    let (center, partition, jump) = (maybe(2000, 12_000), maybe(1000, 8000), maybe(1000, 8000));
    let faults = Faults { cut, kill, store, hangup: None, center, partition, jump };
    let settings = Settings {
        seed,
        nodes: 1 + dice.below(5) as usize,
        worlds: 1 + dice.below(3) as u16,
        scatter: !dice.one_in(4),
        faults,
        ..Settings::default()
    };
    let nodes = settings.nodes;
    let mut sim = Sim::new(settings, &[Definition::entity::<LedgerGlue>()]);
    sim.advance(Duration::from_millis(200));
    let book = Rc::new(RefCell::new(Book::default()));
    // Drivers run on the node that is never killed: their books stay whole.
    for driver in 0..DRIVERS {
        let book = Rc::clone(&book);
        let mut dice = Random::new(seed ^ driver << 40);
        sim.spawn_on(0, move |ctx| async move { drive(&ctx, driver, &mut dice, &book).await });
    }
    sim.advance(Duration::from_secs(20));
    sim.stop_faults();
    sim.advance(Duration::from_secs(30));
    for node in 0..nodes {
        sim.restart(node);
    }
    sim.advance(Duration::from_secs(5));
    let mut report = Report::default();
    check(&mut sim, &book, &mut report);
    report.broken.extend_from_slice(sim.broken());
    let others = [kill, store, center, partition, jump];
    check_notes(others.iter().all(Option::is_none), &mut report);
    report.trace = sim.trace();
    report.events = sim.events();
    let overtaken = COMPLAINTS.with(|all| all.borrow_mut().drain(..).collect::<Vec<_>>());
    // Not yet: one that waits for an entity is overtaken when the entity comes to the very world of its sender.
    if others.iter().all(Option::is_none) {
        report.broken.extend(overtaken);
    }
    report
}

async fn drive(ctx: &Ctx, driver: u64, dice: &mut Random, book: &Rc<RefCell<Book>>) {
    for turn in 1..=CALLS {
        let entity = dice.below(ENTITIES);
        let ledger = ctx.entity::<LedgerRef>(entity);
        ledger.call(NOTE, driver << 32 | turn).tell();
        let (method, argument, adds_to) = match dice.below(10) {
            0 => (RELAY, (entity + 1) % ENTITIES, Some((entity + 1) % ENTITIES)),
            1 => (NAP, dice.below(400), None),
            2 if dice.one_in(3) => (EXPLODE, 0, None),
            _ => (ADD, 1, Some(entity)),
        };
        book.borrow_mut().started += 1;
        let result = ledger.call(method, argument).await.map(|total| total.value);
        book.borrow_mut().end(adds_to, &result);
        ctx.sleep(Duration::from_millis(dice.below(600))).await;
    }
}

/// What must hold once the faults have ended.
fn check(sim: &mut Sim, book: &Rc<RefCell<Book>>, report: &mut Report) {
    let broken = &mut report.broken;
    {
        let book = book.borrow();
        if book.started != book.ended {
            broken.push(format!("{} of {} calls never ended", book.started - book.ended, book.started));
        }
        report.ok = book.ok;
        report.failed.clone_from(&book.failed);
    }
    for entity in 0..ENTITIES {
        let id = EntityId::new(LEDGER.type_id(), entity);
        let asked = sim.run(move |ctx| async move { ctx.entity::<LedgerRef>(entity).call(ADD, 0).await });
        let total = match asked {
            Ok(Ok(total)) => total.value,
            Ok(Err(error)) => {
                broken.push(format!("{id} cannot be reached though all is well: {error}"));
                continue;
            }
            Err(timeout) => {
                broken.push(format!("{id}: {timeout}"));
                continue;
            }
        };
        let sum = book.borrow().sums.get(&entity).copied().unwrap_or_default();
        if total < sum.sure || total > sum.sure + sum.open {
            broken.push(format!("{id} has {total}, acknowledged were {}, open are {}", sum.sure, sum.open));
        }
        let copies = sim.copies(&id);
        if copies.len() > 1 {
            broken.push(format!("{id} lives in several places: {copies:?}"));
        }
    }
}

/// No note is heard twice; where only links break, every note is heard.
fn check_notes(only_cuts: bool, report: &mut Report) {
    HEARD.with(|heard| {
        for ((driver, turn), times) in heard.borrow().iter().filter(|(_, times)| **times > 1) {
            report.broken.push(format!("note {turn} of driver {driver} was heard {times} times"));
        }
        let (sent, heard) = ((DRIVERS * CALLS) as usize, heard.borrow().len());
        let failed = report.failed.keys().filter(|code| **code != Code::PANICKED.0).count();
        if only_cuts && failed > 0 {
            report.broken.push(format!("calls failed, by code {:?}, though only links broke", report.failed));
        }
        // The sixth panic of an entity within a minute ends it, with what waited for it.
        let panics = report.failed.get(&Code::PANICKED.0).copied().unwrap_or(0);
        if only_cuts && panics <= 5 && heard != sent {
            report.broken.push(format!("{heard} of {sent} notes were heard, though only links broke"));
        }
    });
}
