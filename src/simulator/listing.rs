//! Pages of a listing, true or not.

use http::StatusCode;
use serde_json::Value as Json;

use super::effects::ListingFaults;

/// One page.
#[derive(Debug, PartialEq)]
pub(super) struct Page {
    pub(super) items: Vec<Json>,
    /// Where the next page starts, if there is one.
    pub(super) next: Option<usize>,
}

/// The page that starts at `start`, as the faults have it.
pub(super) fn page(
    mut items: Vec<Json>,
    invent: impl FnMut(usize) -> Json,
    start: usize,
    size: usize,
    faults: &ListingFaults,
) -> Result<Page, StatusCode> {
    let size = size.max(1);
    if faults.failing_page == Some(start / size + 1) {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    items.drain(..faults.drop_items.min(items.len()));
    items.extend((0..faults.invent_items).map(invent));
    if faults.empty {
        items.clear();
    }
    let end = start.saturating_add(size).min(items.len());
    let next = if faults.cursor_loop {
        Some(0)
    } else {
        (end < items.len()).then_some(end)
    };
    let items = items.drain(start.min(end)..end).collect();
    Ok(Page { items, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(start: usize, faults: &ListingFaults) -> Result<Page, StatusCode> {
        let items = (0..5).map(Json::from).collect();
        page(items, |n| Json::from(100 + n), start, 2, faults)
    }

    fn pages(faults: &ListingFaults) -> Vec<u64> {
        let (mut seen, mut start) = (Vec::new(), Some(0));
        while let Some(at) = start {
            let page = listed(at, faults).unwrap();
            seen.extend(page.items.iter().filter_map(Json::as_u64));
            start = page.next;
        }
        seen
    }

    #[test]
    fn pages_add_up_to_the_list() {
        assert_eq!(pages(&ListingFaults::default()), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn each_fault_makes_the_listing_untrue_in_its_own_way() {
        let dropped = ListingFaults {
            drop_items: 2,
            ..Default::default()
        };
        assert_eq!(pages(&dropped), [2, 3, 4]);
        let invented = ListingFaults {
            invent_items: 1,
            ..Default::default()
        };
        assert_eq!(pages(&invented), [0, 1, 2, 3, 4, 100]);
        let empty = ListingFaults {
            empty: true,
            ..Default::default()
        };
        assert_eq!(pages(&empty), [0_u64; 0]);
        let failing = ListingFaults {
            failing_page: Some(2),
            ..Default::default()
        };
        assert!(listed(0, &failing).is_ok());
        assert_eq!(listed(2, &failing), Err(StatusCode::INTERNAL_SERVER_ERROR));
        let looping = ListingFaults {
            cursor_loop: true,
            ..Default::default()
        };
        assert_eq!(listed(4, &looping).unwrap().next, Some(0));
    }
}
